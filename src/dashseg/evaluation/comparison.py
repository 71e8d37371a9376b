"""Two ways to run one model, on the same frames -> how far they agree, and the price in mIoU."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from dashseg.data import Dataset
from dashseg.errors import InputError
from dashseg.evaluation.metrics import ConfusionMatrix, iou_per_class, mean_iou
from dashseg.inference import Segmenter
from dashseg.inference.calibration import Frames
from dashseg.labels import Image, Label, require_same_classes


@dataclass(frozen=True)
class Tolerance:
    """The least that an exported model must keep of the model it was made from."""

    label_agreement: float  # share of pixels
    miou_loss: float  # 1 is all of it


# By precision. Measured on a demo run of 300 scenes (5 classes, 192×256): labels agree on
# 1.00000, 0.9999 and 0.995 of pixels, and INT8 costs 0.002 mIoU.
TOLERANCES = {
    "fp32": Tolerance(0.9995, 0.001),
    "fp16": Tolerance(0.995, 0.005),
    "int8": Tolerance(0.97, 0.01),
}


@dataclass(frozen=True)
class Comparison:
    """How a candidate differs from its reference."""

    frames: int
    largest_logit_difference: float
    label_agreement: float  # share of all pixels, at the frames' own size
    miou_reference: float | None  # None: the frames had no labels
    miou_candidate: float | None
    iou_reference: Mapping[str, float | None] = field(default_factory=dict)  # by class
    iou_candidate: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def miou_loss(self) -> float | None:
        """What the candidate loses of the reference's mIoU."""
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
        """Raise InputError, with the figures, unless the candidate is good enough."""
        problems = []
        if not math.isfinite(self.largest_logit_difference):
            problems.append("its logits are no numbers")
        if self.label_agreement < tolerance.label_agreement:
            problems.append(
                f"labels agree on {self.label_agreement:.2%} of pixels, and"
                f" {tolerance.label_agreement:.2%} are asked for"
            )
        if self.miou_loss is not None and self.miou_loss > tolerance.miou_loss:
            problems.append(
                f"mIoU falls from {self.miou_reference:.4f} to {self.miou_candidate:.4f}, and by"
                f" {tolerance.miou_loss:g} at most is allowed"
            )
        if problems:
            raise InputError(
                f"refused, and nothing written: {'; '.join(problems)} (largest logit difference"
                f" {self.largest_logit_difference:.3g}, {self.frames} frames)"
            )


def compare(
    reference: Segmenter,
    candidate: Segmenter,
    frames: Frames | Dataset,
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Run both on every frame. A frame goes in at the candidate's working size for both.

    Args:
        frames: images, or a data set, whose labels then give the mIoU.

    Raises:
        InputError: a data set of other classes; a frame that cannot be read.
    """
    if not isinstance(frames, Frames):
        require_same_classes(frames.classes, frames.root, reference.classes, reference.name)
    reference = Segmenter(
        reference.runtime, candidate.input, reference.classes, reference.name, reference.run
    )
    confusions = [ConfusionMatrix(len(reference.classes)) for _ in range(2)]
    differences: list[float] = []
    agreeing, pixels = 0, 0
    for index in range(len(frames)):
        image, truth = _read(frames, index)
        results = [segmenter(image) for segmenter in (reference, candidate)]
        before, after = (torch.as_tensor(result.logits) for result in results)  # (C, h, w) each
        differences.append((before - after).abs().max().item())
        agreeing += int((results[0].label == results[1].label).sum())
        pixels += results[0].label.size
        if truth is not None:
            for confusion, result in zip(confusions, results, strict=True):
                confusion.update(torch.from_numpy(result.label), torch.from_numpy(truth))
        if on_progress:
            on_progress(index + 1, len(frames))
    labelled = not isinstance(frames, Frames)
    mious = [mean_iou(c.compute()) if labelled else None for c in confusions]
    ious = [
        dict(zip(reference.classes.names, iou_per_class(c.compute()), strict=True))
        if labelled
        else {}
        for c in confusions
    ]
    largest = float(np.max(differences))  # NaN if any of them is
    return Comparison(len(frames), largest, agreeing / pixels, mious[0], mious[1], ious[0], ious[1])


def _read(frames: Frames | Dataset, index: int) -> tuple[Image, Label | None]:
    if isinstance(frames, Frames):
        return frames[index], None
    sample = frames[index]
    return sample.image, sample.label
