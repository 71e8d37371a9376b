"""Predictions and labels -> confusion matrix -> IoU, mIoU, pixel accuracy.

Pixels are counted over all frames of a data set and divided once, as publications do. The average
of per-frame IoUs is a different number.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from dashseg.labels import IGNORE

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class ConfusionMatrix:
    """Pixels by label and prediction, summed over updates and over processes.

    `compute()` gives int64 (C, C): rows are labels, columns predictions. Pixels whose label is
    255 are not counted.
    """

    def __init__(self, classes: int, device: torch.device | str = "cpu") -> None:
        self.counts = torch.zeros((classes, classes), dtype=torch.int64, device=device)

    def update(self, prediction: Tensor, label: Tensor) -> None:
        """Count one frame or batch.

        Args:
            prediction: (..., H, W) class ids, or (B, C, H, W) float logits.
            label: (..., H, W) class ids of any integer type, 255 = ignore.

        Raises:
            RuntimeError: a label that is neither a class nor 255.
        """
        if prediction.ndim > label.ndim:
            prediction = prediction.argmax(1)
        # long(), because uint8 would overflow.
        cells = (label.long() * len(self.counts) + prediction)[label != IGNORE]
        self.counts += cells.bincount(minlength=self.counts.numel()).view_as(self.counts)

    def compute(self) -> Tensor:
        """The counts of all processes."""
        counts = self.counts.clone()
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(counts)
        return counts


def iou(hits: Floats, labelled: Floats, predicted: Floats) -> Floats:
    """Intersection over union: hits / (labelled + predicted - hits), all (..., C) pixel counts.

    NaN for a class that no label shows, even where it was predicted. Such false predictions still
    count, in the union of the classes whose pixels they took.
    """
    union = np.where(labelled > 0, labelled + predicted - hits, np.nan)
    return hits / union


def iou_per_class(confusion: Counts | Tensor) -> list[float | None]:
    """IoU of each class from an integer (C, C) confusion matrix; None for a class without labels.

    >>> iou_per_class(np.array([[8, 2, 0], [0, 5, 0], [0, 0, 0]]))  # rows: label
    [0.8, 0.7142857142857143, None]
    """
    counts = _array(confusion).astype(np.float64)  # whole numbers below 2**53 stay exact
    values = iou(counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0))
    return [None if np.isnan(value) else float(value) for value in values]


def mean_iou(confusion: Counts | Tensor) -> float | None:
    """Mean of `iou_per_class` over the classes that labels show; None if there is no pixel."""
    present = [iou for iou in iou_per_class(confusion) if iou is not None]
    return float(np.mean(present)) if present else None


def pixel_accuracy(confusion: Counts | Tensor) -> float | None:
    """Share of labelled pixels whose prediction is right; None if there is no pixel."""
    counts = _array(confusion)
    pixels = counts.sum()
    return float(counts.trace() / pixels) if pixels else None


def _array(confusion: Counts | Tensor) -> Counts:
    return confusion.cpu().numpy() if isinstance(confusion, Tensor) else confusion
