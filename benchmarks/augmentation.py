"""Augmenting a batch: dashseg's one resampling and one colour matrix against kornia's own steps.

    python benchmarks/augmentation.py [--size 256x320] [--threads 2] [--smoke]

Both flip, scale, rotate, bend and change brightness, contrast, saturation and hue of 8 frames, in
turn. Prints the ratio of their times, the milliseconds a frame of each, and of each of dashseg's
steps alone, less the conversion to float that all of them share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kornia.augmentation as K
import numpy as np
import torch
from common import arguments, seconds, spread
from torch import Tensor

from dashseg.cli.options import parse_size
from dashseg.config import IMAGENET_MEAN, AugmentConfig
from dashseg.images import resize_image
from dashseg.scenes import render_scene
from dashseg.shrink import shrink_label
from dashseg.training.augment import Augment, Draws

FRAMES = 8
GEOMETRY = {"flip": 0.5, "scale": (0.5, 2.0), "rotate": 10.0}
ELASTIC = {"distort": {"share": 1.0, "grid": 0.0, "optical": 0.0}}
COLOUR = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05}
STEPS: dict[str, dict[str, Any]] = {
    "flip": {"flip": 0.5},
    "geometry": GEOMETRY,
    "geometry, all bent": {**GEOMETRY, "distort": {"share": 1.0}},
    "colour": COLOUR,
    "gamma": {"gamma": (0.7, 1.5)},
    "noise": {"noise": 0.03},
    "blur, all": {"blur": 1.0},
    "JPEG, all": {"jpeg": {"share": 1.0}},
    "paint, all": {"paint": {"share": 1.0}},
    "holes, all": {"dropout": {"share": 1.0}},
    "night, all": {"night": {"share": 1.0}},
    "rain, all": {"rain": {"share": 1.0}},
    "fog, all": {"fog": {"share": 1.0}},
}


def batch(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """uint8 (B, 3, H, W) and int64 (B, H, W) of drawn scenes."""
    scenes = [render_scene(0, index) for index in range(FRAMES)]
    image = torch.from_numpy(np.stack([resize_image(s.image, size) for s in scenes]))
    label = torch.from_numpy(np.stack([shrink_label(s.label, size) for s in scenes]))
    return image.permute(0, 3, 1, 2).contiguous(), label.long()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--size", default="256x320")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    size = parse_size("64x80" if options.smoke else options.size)
    rounds = 1 if options.smoke else 7
    image, label = batch(size)

    theirs = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=0.5),
        K.RandomAffine(degrees=10.0, scale=(0.5, 2.0), p=1.0),
        K.RandomElasticTransform(p=1.0),
        K.ColorJitter(0.3, 0.3, 0.3, 0.05, p=1.0),
        data_keys=["input", "mask"],
    )

    def ours(settings: dict[str, Any]) -> Callable[[], object]:
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
    pairs = [(per_frame(run_theirs), per_frame(all_ours)) for _ in range(rounds)]
    print(f"{FRAMES} frames of {size[0]}×{size[1]}, {options.threads} threads, {rounds} rounds")
    print(f"kornia's steps / dashseg's: {spread([t / o for t, o in pairs], 1)}")
    print(f"  kornia   {spread([t for t, _ in pairs], 1)} ms a frame")
    print(f"  dashseg  {spread([o for _, o in pairs], 1)} ms a frame")
    turns = [
        (per_frame(nothing), {name: per_frame(work) for name, work in works.items()})
        for _ in range(rounds)
    ]
    print(f"to float and back: {spread([base for base, _ in turns], 1)} ms a frame; beyond that")
    for name in STEPS:
        print(f"  {name:20} {spread([took[name] - base for base, took in turns], 1)} ms a frame")


if __name__ == "__main__":
    main()
