"""Augmenting a batch: dashseg's one resampling and one colour matrix against kornia's own steps.

Both flip, scale, rotate, bend and change brightness, contrast, saturation and hue of 8 frames. The
two run in turns; the ratio is of each pair. Then each of dashseg's steps alone, less the conversion
to float that all of them share.

python benchmarks/augmentation.py [--size 256x320] [--threads 2]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import kornia.augmentation as K
import numpy as np
import torch
from torch import Tensor

from dashseg.cli.options import parse_size
from dashseg.config import IMAGENET_MEAN, AugmentConfig
from dashseg.images import resize_image
from dashseg.scenes import render_scene
from dashseg.shrink import shrink_label
from dashseg.training.augment import Augment, Draws

FRAMES, ROUNDS = 8, 7
GEOMETRY = {"flip": 0.5, "scale": (0.5, 2.0), "rotate": 10.0}
ELASTIC = {"distort": {"share": 1.0, "grid": 0.0, "optical": 0.0}}
COLOUR = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05}
STEPS = {
    "flip": {"flip": 0.5},
    "geometry": GEOMETRY,
    "geometry, all bent": {**GEOMETRY, "distort": {"share": 1.0}},
    "colour": COLOUR,
    "gamma": {"gamma": (0.7, 1.5)},
    "noise": {"noise": 0.03},
    "blur, all": {"blur": 1.0},
    "holes, all": {"dropout": {"share": 1.0}},
    "night, all": {"night": {"share": 1.0}},
    "rain, all": {"rain": {"share": 1.0}},
    "fog, all": {"fog": {"share": 1.0}},
}


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def batch(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """uint8 (B, 3, H, W) and int64 (B, H, W) of drawn scenes."""
    scenes = [render_scene(0, index) for index in range(FRAMES)]
    image = torch.from_numpy(np.stack([resize_image(s.image, size) for s in scenes]))
    label = torch.from_numpy(np.stack([shrink_label(s.label, size) for s in scenes]))
    return image.permute(0, 3, 1, 2).contiguous(), label.long()


def spread(values: list[float], digits: int) -> str:
    middle, low, high = (f(values) for f in (statistics.median, min, max))
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="256x320")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    size = parse_size(arguments.size)
    image, label = batch(size)

    theirs = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=0.5),
        K.RandomAffine(degrees=10.0, scale=(0.5, 2.0), p=1.0),
        K.RandomElasticTransform(p=1.0),
        K.ColorJitter(0.3, 0.3, 0.3, 0.05, p=1.0),
        data_keys=["input", "mask"],
    )

    def ours(settings: dict[str, object]) -> Callable[[], object]:
        augment = Augment(AugmentConfig.model_validate(settings), IMAGENET_MEAN)
        return lambda: augment(image, label, Draws.of_batch((0,), range(FRAMES)))

    def run_theirs() -> object:
        return theirs(image.float() / 255, label.unsqueeze(1).float())

    def per_frame(work: Callable[[], object]) -> float:
        return 1000 * seconds(work) / FRAMES

    all_ours = ours({**GEOMETRY, **ELASTIC, **COLOUR})
    works = {name: ours(settings) for name, settings in STEPS.items()}
    nothing = ours({})
    for work in (run_theirs, all_ours, nothing, *works.values()):
        work()  # warms up
    pairs = [(per_frame(run_theirs), per_frame(all_ours)) for _ in range(ROUNDS)]
    print(f"{FRAMES} frames of {size[0]}×{size[1]}, {arguments.threads} threads, {ROUNDS} rounds")
    print(f"kornia's steps / dashseg's: {spread([t / o for t, o in pairs], 1)}")
    print(f"  kornia   {spread([t for t, _ in pairs], 1)} ms a frame")
    print(f"  dashseg  {spread([o for _, o in pairs], 1)} ms a frame")
    rounds = [
        (per_frame(nothing), {name: per_frame(work) for name, work in works.items()})
        for _ in range(ROUNDS)
    ]
    print(f"to float and back: {spread([base for base, _ in rounds], 1)} ms a frame; beyond that")
    for name in STEPS:
        print(f"  {name:20} {spread([took[name] - base for base, took in rounds], 1)} ms a frame")


if __name__ == "__main__":
    main()
