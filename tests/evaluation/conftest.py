"""A data set and a model small enough to check by hand: frames in memory, logits linear in RGB."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from dashseg.data import Sample
from dashseg.inference import Result
from dashseg.labels import COMMA10K, Classes, Image, Label

SIZE = 30, 44  # H, W of a frame
WORKING = 17, 23  # what the model works at


@dataclass
class Frames:
    """A data set held in memory."""

    samples: Sequence[Sample]
    classes: Classes = COMMA10K
    root: str = "frames"
    kind: str = "comma10k"
    split: str = "val"
    resized: bool = False

    @property
    def names(self) -> list[str]:
        return [sample.name for sample in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def label(self, index: int) -> Label:
        return self.samples[index].label

    def fingerprint(self) -> str:
        return "0123456789abcdef"


@dataclass
class LinearSegmenter:
    """Logits are a fixed linear function of the squashed frame."""

    classes: Classes = COMMA10K
    name: str = "runs/tiny"
    run: Path | None = None
    tta: tuple[str, ...] = ()
    weights: Path | None = None
    working: tuple[int, int] = WORKING

    def logits(self, image: Image) -> torch.Tensor:
        height, width = self.working
        small = cv2.resize(image, (width, height)).astype(np.float32) / 64
        weights = np.random.default_rng(7).normal(size=(len(self.classes), 3)).astype(np.float32)
        return torch.from_numpy(np.einsum("ck,hwk->chw", weights, small))

    runtime, on_gpu = SimpleNamespace(parallel=1), False

    def batch(self, images: Sequence[Image], resized: Sequence[Image]) -> list[Result]:
        return [Result(image, self.logits(image), self.classes) for image in images]

    def resize(self, image: Image) -> Image:
        return image

    def size_for(self, image: Image) -> tuple[int, int]:
        return self.working

    def wait(self) -> None:
        pass


def random_frames(count: int, seed: int = 0, size: tuple[int, int] = SIZE) -> list[Sample]:
    """Noise of differing brightness, labels in blocks of 4×4 with some pixels to ignore."""
    rng = np.random.default_rng(seed)
    samples = []
    for index in range(count):
        image = rng.integers(0, 40 + 40 * (index % 5), (*size, 3), np.uint8)
        blocks = rng.integers(0, len(COMMA10K), (-(-size[0] // 4), -(-size[1] // 4)), np.uint8)
        label = np.kron(blocks, np.ones((4, 4), np.uint8))[: size[0], : size[1]].copy()
        label[rng.random(size) < 0.1] = 255
        samples.append(Sample(image, label, f"frame_{index:03}"))
    return samples


@pytest.fixture
def make_frames() -> Callable[..., Frames]:
    """Frames of `random_frames`' arguments, or of the `samples` given."""

    def make(count: int = 0, *, samples: Sequence[Sample] = (), **arguments: Any) -> Frames:
        return Frames(samples or random_frames(count, **arguments))

    return make


@pytest.fixture
def frames() -> Frames:
    return Frames(random_frames(12))


@pytest.fixture
def segmenter() -> LinearSegmenter:
    return LinearSegmenter()
