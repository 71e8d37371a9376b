"""Several ways to run one model, on the same frames -> how far they agree, and the loss in mIoU."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from dashseg.data import Dataset
from dashseg.data.dataset import check_classes
from dashseg.errors import InputError
from dashseg.evaluation.metrics import ConfusionMatrix, iou_per_class, mean_iou
from dashseg.inference import Segmenter
from dashseg.inference.calibration import Frames
from dashseg.labels import Classes, Image, Label


@dataclass(frozen=True)
class Tolerance:
    """How much an exported model may differ from the model it was made from."""

    label_agreement: float  # share of pixels, at least
    miou_loss: float  # at most


# By precision. Measured on a demo run of 300 scenes (5 classes, 192×256): labels agree on
# 1.00000, 0.9999 and 0.995 of pixels, and INT8 costs 0.002 mIoU.
TOLERANCES = {
    "fp32": Tolerance(0.9995, 0.001),
    "fp16": Tolerance(0.995, 0.005),
    "int8": Tolerance(0.97, 0.01),
}


@dataclass(frozen=True)
class Comparison:
    """How a candidate, such as an exported file, differs from its reference."""

    frames: int
    largest_logit_difference: float
    label_agreement: float  # share of all pixels, at the frames' own size
    miou_reference: float | None  # None: the frames had no labels
    miou_candidate: float | None
    iou_reference: Mapping[str, float | None] = field(default_factory=dict)  # by class
    iou_candidate: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def miou_loss(self) -> float | None:
        """By how much the candidate's mIoU is below the reference's."""
        if self.miou_reference is None or self.miou_candidate is None:
            return None
        return self.miou_reference - self.miou_candidate

    def to_dict(self) -> dict[str, Any]:
        """As export.json holds it."""
        return {
            "frames": self.frames,
            "largest_logit_difference": self.largest_logit_difference,
            "label_agreement": self.label_agreement,
            "miou_before": self.miou_reference,
            "miou_after": self.miou_candidate,
            "iou_before": dict(self.iou_reference),
            "iou_after": dict(self.iou_candidate),
        }

    def check(self, tolerance: Tolerance) -> None:
        """Raise InputError, with the figures, if the candidate differs more than `tolerance`."""
        problems = []
        if not math.isfinite(self.largest_logit_difference):
            problems.append("its logits are not finite")
        if self.label_agreement < tolerance.label_agreement:
            problems.append(
                f"labels agree on {self.label_agreement:.2%} of pixels; at least"
                f" {tolerance.label_agreement:.2%} must"
            )
        if self.miou_loss is not None and self.miou_loss > tolerance.miou_loss:
            problems.append(
                f"mIoU falls from {self.miou_reference:.4f} to {self.miou_candidate:.4f}; it may"
                f" fall by {tolerance.miou_loss:g} at most"
            )
        if problems:
            raise InputError(
                f"refused, nothing was written: {'; '.join(problems)} (largest logit difference"
                f" {self.largest_logit_difference:.3g}, {self.frames} frames)"
            )


def compare(
    reference: Segmenter,
    candidate: Segmenter,
    frames: Frames | Dataset,
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Run both on every frame. Both resize a frame to the candidate's working size.

    Args:
        frames: images, or a data set, whose labels then give the mIoU.

    Raises:
        InputError: a data set of other classes; a frame that cannot be read.
    """
    if not isinstance(frames, Frames):
        check_classes(frames, reference.classes, reference.name)
    reference = Segmenter(
        reference.runtime, candidate.input, reference.classes, reference.name, reference.run
    )
    logits: list[torch.Tensor] = []  # the reference's for the present frame: (C, h, w)
    differences: list[float] = []

    def label_by_reference(image: Image) -> Label:
        result = reference(image)
        logits[:] = [torch.as_tensor(result.logits)]
        return result.label

    def label_by_candidate(image: Image) -> Label:
        result = candidate(image)
        differences.append((logits[0] - torch.as_tensor(result.logits)).abs().max().item())
        return result.label

    before, after = compare_labels(
        [label_by_reference, label_by_candidate], frames, reference.classes, on_progress
    )
    largest = float(np.max(differences))  # NaN if any of them is
    return Comparison(
        len(frames), largest, after.agreement, before.miou, after.miou, before.iou, after.iou
    )


@dataclass(frozen=True)
class LabelScore:
    """How the labels of one labeller compare with the first labeller's and with the truth."""

    agreement: float  # share of all pixels with the same class as the first labeller's
    miou: float | None  # None: the frames have no labels
    iou: Mapping[str, float | None]  # by class; empty: the frames have no labels


def compare_labels(
    labellers: Sequence[Callable[[Image], Label]],
    frames: Frames | Dataset,
    classes: Classes,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[LabelScore]:
    """Label every frame by each labeller in turn.

    Args:
        labellers: uint8 H×W×3 RGB frame -> uint8 H×W label.
        frames: images, or a data set, whose labels then give the mIoU.
        on_progress: called with (frames done, frames in all).
    """
    agreeing, pixels = np.zeros(len(labellers), np.int64), 0
    confusions = [ConfusionMatrix(len(classes)) for _ in labellers]
    for index in range(len(frames)):
        image, truth = read_frame(frames, index)
        labels = [label(image) for label in labellers]
        agreeing += [int((label == labels[0]).sum()) for label in labels]
        pixels += labels[0].size
        if truth is not None:
            for confusion, label in zip(confusions, labels, strict=True):
                confusion.update(torch.from_numpy(label), torch.from_numpy(truth))
        if on_progress:
            on_progress(index + 1, len(frames))
    shares = (agreeing / pixels).tolist()
    if isinstance(frames, Frames):
        return [LabelScore(share, None, {}) for share in shares]
    counts = [confusion.compute() for confusion in confusions]
    return [
        LabelScore(share, mean_iou(c), dict(zip(classes.names, iou_per_class(c), strict=True)))
        for share, c in zip(shares, counts, strict=True)
    ]


def read_frame(frames: Frames | Dataset, index: int) -> tuple[Image, Label | None]:
    """A frame and, if there are labels, its label."""
    if isinstance(frames, Frames):
        return frames[index], None
    sample = frames[index]
    return sample.image, sample.label
