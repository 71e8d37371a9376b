"""Cross-entropy over labels with ignored pixels, and the class weights that go into it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from dashseg.config import LossConfig
from dashseg.errors import InputError
from dashseg.labels import IGNORE


class CrossEntropy(nn.Module):
    """Cross-entropy in nats, each pixel counted by the weight of its class.

    Args:
        weights: one per class; None counts every pixel the same.
        label_smoothing: share of a pixel's target spread evenly over all classes.
    """

    weights: Tensor | None

    def __init__(self, weights: Sequence[float] | None = None, label_smoothing: float = 0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.register_buffer(
            "weights", None if weights is None else torch.tensor(weights, dtype=torch.float32),
            persistent=False,
        )  # fmt: skip

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Weighted mean over the pixels that count.

        Args:
            logits: (B, C, H, W).
            label: int64 (B, H, W), 255 = ignore.

        Returns:
            Scalar; 0, with zero gradients, when every pixel is ignored.
        """
        total = F.cross_entropy(
            logits.float(), label, self.weights, ignore_index=IGNORE, reduction="sum",
            label_smoothing=self.label_smoothing,
        )  # fmt: skip
        counts = label != IGNORE
        if self.weights is None:
            return total / counts.sum().clamp_min(1)
        weight = self.weights[torch.where(counts, label, 0)] * counts
        return total / weight.sum().clamp_min(torch.finfo(torch.float32).tiny)


def class_weights(
    config: LossConfig, counts: NDArray[np.int64], present: NDArray[np.int64]
) -> list[float] | None:
    """The weights that `loss.class_weights` asks for.

    Args:
        counts: (C,) training pixels of each class.
        present: (C,) labelled pixels of the frames in which the class occurs.

    Raises:
        InputError: given weights that are not one per class, or not positive.
    """
    match config.class_weights:
        case "none":
            return None
        case "enet":
            return enet_weights(counts).tolist()
        case "median_frequency":
            return median_frequency_weights(counts, present).tolist()
        case given:
            if len(given) != len(counts):
                raise InputError(
                    f"loss.class_weights: {len(given)} numbers for {len(counts)} classes;"
                    " give one for each, or --set loss.class_weights=none"
                )
            if min(given) < 0 or max(given) == 0:
                raise InputError("loss.class_weights: weights are 0 or more, and one is above 0")
            return list(given)


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


def count_pixels(
    labels: Sequence[NDArray[np.uint8]], num_classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`counts` and `present` of `class_weights`, over labels (uint8 H×W) read one at a time."""
    counts = np.zeros(num_classes, np.int64)
    present = np.zeros(num_classes, np.int64)
    for index in range(len(labels)):
        found = np.bincount(labels[index].ravel(), minlength=256)[:num_classes]
        counts += found
        present += found.sum() * (found > 0)
    return counts, present
