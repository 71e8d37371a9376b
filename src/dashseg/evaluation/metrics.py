"""Predictions and labels -> confusion matrix -> IoU, mIoU, pixel accuracy.

The numbers are those of a whole data set: pixels are counted over all frames and divided once.
The average of per-frame IoUs is another number, and not the one that publications give.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from dashseg.labels import IGNORE

Counts = NDArray[np.int64]


class ConfusionMatrix(MulticlassConfusionMatrix):
    """Pixels by label and prediction, summed over updates and over processes.

    `compute()` gives int64 (C, C): rows are labels, columns predictions. Pixels whose label is
    255 are not counted.
    """

    def __init__(self, num_classes: int) -> None:
        # Validation searches every batch for its unique values: slower than the counting.
        super().__init__(num_classes, ignore_index=IGNORE, validate_args=False)

    def update(self, prediction: Tensor, label: Tensor) -> None:
        """Count one frame or batch.

        Args:
            prediction: (..., H, W) class ids, or (B, C, H, W) float logits.
            label: (..., H, W) class ids of any integer type, 255 = ignore.

        Raises:
            RuntimeError: an id that is neither a class nor 255.
        """
        super().update(prediction, label.long())  # uint8 would overflow in label × C + prediction


def iou_per_class(confusion: Counts | Tensor) -> list[float | None]:
    """Intersection over union of each class, from an integer (C, C) confusion matrix.

    A class that no label shows has no IoU: None, never 0 or 1, even where it was predicted. Such
    false predictions still count, in the union of the classes whose pixels they took.
    """
    counts = _array(confusion)
    hits, labelled, predicted = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    union = labelled + predicted - hits
    return [
        float(hit / either) if own else None
        for hit, either, own in zip(hits, union, labelled, strict=True)
    ]


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
