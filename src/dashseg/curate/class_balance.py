"""Count the pixels of each class, and compute class weights from the counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dashseg.labels import count_ids


class ClassPixels:
    """Sums over labels, of one number per class.

    Attributes:
        counts: int64 (C,), pixels of each class.
        present: int64 (C,), labelled pixels of the frames in which the class occurs.
        frames: int64 (C,), how many frames those are.
    """

    def __init__(self, num_classes: int) -> None:
        self.counts = np.zeros(num_classes, np.int64)
        self.present = np.zeros(num_classes, np.int64)
        self.frames = np.zeros(num_classes, np.int64)

    def add(self, found: NDArray[np.int64]) -> None:
        """Count one label, whose pixels of each class are `found` (C,)."""
        self.counts += found
        self.present += found.sum() * (found > 0)
        self.frames += found > 0


def count_pixels(labels: Sequence[NDArray[np.uint8]], num_classes: int) -> ClassPixels:
    """Count labels (uint8 H×W, 255 = ignore) that are read one at a time."""
    pixels = ClassPixels(num_classes)
    for index in range(len(labels)):
        pixels.add(count_ids(labels[index])[:num_classes])
    return pixels


def enet_weights(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 / ln(1.02 + share of pixels); (C,) -> (C,). Paszke et al., "ENet" (2016), section 5.2."""
    weights: NDArray[np.float64] = 1 / np.log(1.02 + counts / counts.sum())
    return weights


def median_frequency_weights(
    counts: NDArray[np.int64], present: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Median class frequency over the class's own; (C,), (C,) -> (C,).

    A class's frequency is its share of the pixels of those frames in which it occurs. Eigen and
    Fergus, "Predicting depth, surface normals and semantic labels" (2015), section 6.3.2. A class
    without pixels gets weight 0: it cannot occur in the loss.
    """
    occurs = counts > 0
    frequency = counts[occurs] / present[occurs]
    weights = np.zeros(len(counts))
    weights[occurs] = np.median(frequency) / frequency
    return weights
