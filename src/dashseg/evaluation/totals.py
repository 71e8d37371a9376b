"""Frame scores, one at a time -> the sums of a data set, in constant memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from dashseg.curate.brightness import GROUPS, brightness_group
from dashseg.evaluation.bootstrap import Bootstrap
from dashseg.evaluation.metrics import Counts, iou_per_class, mean_iou, pixel_accuracy
from dashseg.evaluation.scoring import FrameScore, LossSum
from dashseg.labels import Classes

# Bins of the histogram of per-frame losses: ten to a factor of ten, since losses span several.
LOSS_EDGES = np.logspace(-4, 1, 51)


class Tally:
    """Loss and confusion matrix summed over frames."""

    def __init__(self, num_classes: int) -> None:
        self.images = 0
        self.native = LossSum()
        self.confusion: Counts = np.zeros((num_classes, num_classes), np.int64)

    def add(self, score: FrameScore) -> None:
        self.images += 1
        self.native += score.native
        self.confusion += score.confusion

    def summary(self, classes: Classes) -> dict[str, Any]:
        """Cross-entropy, mIoU, IoU by class name and pixel accuracy; None where undefined."""
        return {
            "images": self.images,
            "ce_native": self.native.mean,
            "miou": mean_iou(self.confusion),
            "iou": dict(zip(classes.names, iou_per_class(self.confusion), strict=True)),
            "pixel_accuracy": pixel_accuracy(self.confusion),
        }


class Totals:
    """Everything that metrics.json states about predictions, as sums.

    Args:
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """

    def __init__(self, num_classes: int, resamples: int, seed: int) -> None:
        self.all = Tally(num_classes)
        self.groups = {name: Tally(num_classes) for name in GROUPS}
        self.padded: LossSum | None = LossSum()  # None once a frame is larger than the padded area
        self.square = LossSum()
        self.unlabelled = 0
        self.bootstrap = Bootstrap(num_classes, resamples, seed)
        self.loss_counts: Counts = np.zeros(len(LOSS_EDGES) - 1, np.int64)

    def add(self, index: int, luma: float, score: FrameScore) -> None:
        """Add the frame at `index`; a frame without labelled pixels is only counted."""
        if score.native.mean is None:
            self.unlabelled += 1
            return
        self.all.add(score)
        self.groups[brightness_group(luma)].add(score)
        self.padded = self.padded + score.padded if self.padded and score.padded else None
        self.square += score.square
        self.bootstrap.update(index, score.native, score.confusion)
        shown = np.clip(score.native.mean, LOSS_EDGES[0], LOSS_EDGES[-1])
        self.loss_counts += np.histogram(shown, LOSS_EDGES)[0]

    def cross_entropies(self) -> dict[str, float | None]:
        """The data set's cross-entropy, averaged in each of the three published ways."""
        return {
            "native": self.all.native.mean,
            "padded_896x1184": self.padded.mean if self.padded else None,
            "square_256": self.square.mean,
        }
