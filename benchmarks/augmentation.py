"""Augmenting a batch: dashseg's one resampling and one colour matrix against kornia's own steps.

Both flip, scale, rotate, crop and change brightness, contrast, saturation and hue of 8 frames.
Prints the ratio and the share of each of dashseg's steps.

python benchmarks/augmentation.py
"""

import statistics
import time
from collections.abc import Callable

import kornia.augmentation as K
import numpy as np
import torch
from torch import Generator, Tensor

from dashseg.config import IMAGENET_MEAN, AugmentConfig
from dashseg.data.synthetic import render_scene
from dashseg.images import resize_image
from dashseg.shrink import shrink_label
from dashseg.training.augment import Augment

SIZE, ROUNDS = (437, 582), 7
STEPS = {
    "geometry": {"flip": 0.5, "scale": (0.5, 2.0), "rotate": 10.0},
    "colour": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05},
    "gamma": {"gamma": (0.7, 1.5)},
    "noise": {"noise": 0.03},
    "blur": {"blur": 1.0},
}


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    scenes = [render_scene(0, index) for index in range(8)]
    image = torch.from_numpy(np.stack([resize_image(s.image, SIZE) for s in scenes]))
    image = image.permute(0, 3, 1, 2).contiguous()
    label = torch.from_numpy(np.stack([shrink_label(s.label, SIZE) for s in scenes])).long()

    ours = Augment(AugmentConfig(**STEPS["geometry"], **STEPS["colour"]), IMAGENET_MEAN)
    theirs = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=0.5),
        K.RandomAffine(degrees=10.0, scale=(0.5, 2.0), p=1.0),
        K.RandomCrop(SIZE, p=1.0),
        K.ColorJitter(0.3, 0.3, 0.3, 0.05, p=1.0),
        data_keys=["input", "mask"],
    )

    def run_ours(augment: Augment = ours) -> tuple[Tensor, Tensor]:
        return augment(image, label, Generator().manual_seed(0))

    def run_theirs() -> object:
        return theirs(image.float() / 255, label.unsqueeze(1).float())

    pairs = []
    for _ in range(ROUNDS + 1):
        pairs.append((seconds(run_theirs), seconds(run_ours)))
    ratios = [theirs_s / ours_s for theirs_s, ours_s in pairs[1:]]  # the first round warms up
    print(
        f"kornia's steps / dashseg's: median {statistics.median(ratios):.2f}"
        f" (min {min(ratios):.2f}, max {max(ratios):.2f}) over {ROUNDS} rounds,"
        f" dashseg {1000 * statistics.median(p[1] for p in pairs[1:]) / 8:.1f} ms a frame"
    )
    for name, settings in STEPS.items():
        augment = Augment(AugmentConfig(**settings), IMAGENET_MEAN)  # type: ignore[arg-type]
        took = [seconds(lambda step=augment: run_ours(step)) for _ in range(3)]  # type: ignore[misc]
        print(f"  {name}: {1000 * min(took) / 8:.1f} ms a frame")


if __name__ == "__main__":
    main()
