"""Logits and label of one frame -> cross-entropies, prediction and confusion matrix.

Published comma10k losses average over different pixels, so each frame is scored in three ways. Each
is a sum and a pixel count, divided once for the whole data set. Natural logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dashseg.evaluation.metrics import ConfusionMatrix, Counts
from dashseg.images import resize_label
from dashseg.inference.upsampling import upsample
from dashseg.labels import IGNORE, Label

PADDED = (896, 1184)  # comma10k's 874×1164 frames, padded to multiples of 32 for a U-Net
SQUARE = (256, 256)  # the original's input, which its labels were squashed to as well

# Rows scored at a time: what 5 classes of 1164 pixels take there stays in a core's cache.
_ROWS = 64
_MOST = 1 << 24  # OpenCV counts in float32, which holds whole numbers up to this

Planes = NDArray[np.float32]


@dataclass(frozen=True)
class LossSum:
    """Cross-entropy summed over pixels, and the number of pixels to divide it by."""

    total: float = 0.0
    pixels: int = 0

    def __add__(self, other: LossSum) -> LossSum:
        return LossSum(self.total + other.total, self.pixels + other.pixels)

    @property
    def mean(self) -> float | None:
        """Cross-entropy per pixel; None without pixels."""
        return self.total / self.pixels if self.pixels else None


@dataclass(frozen=True)
class FrameScore:
    """How well one frame was predicted."""

    native: LossSum
    padded: LossSum | None  # None: the frame is larger than `PADDED`
    square: LossSum
    confusion: Counts  # int64 (C, C), at the frame's own size
    prediction: Label  # uint8 H×W; empty where another process made it


@torch.inference_mode()
def score_frame(logits: Tensor, label: Label) -> FrameScore:
    """Score one frame.

    Args:
        logits: float32 (C, h, w) of any size, on any device, which does the work.
        label: uint8 H×W at the frame's own size, 255 = ignore.

    Raises:
        ValueError: an id in the label that is neither a class nor 255.
    """
    squashed = np.ascontiguousarray(resize_label(label, SQUARE))
    if logits.device.type == "cpu":
        planes = np.ascontiguousarray(logits.numpy(), np.float32)
        native, prediction = cross_entropy(planes, label)
        confusion = _confusion(label, prediction, len(planes))
        square, _ = cross_entropy(planes, squashed)
    else:
        native, square, confusion, prediction = score_on_device(logits, label, squashed)
    if confusion.sum() != native.pixels:
        raise ValueError(f"the label has ids that are neither one of {len(logits)} classes nor 255")
    return FrameScore(native, _padded(native, label), square, confusion, prediction)


def cross_entropy(planes: Planes, label: Label) -> tuple[LossSum, Label]:
    """Cross-entropy of logits (C, h, w), resized to an H×W label, over its pixels that are not 255.

    Pixels are added in double precision.

    Returns:
        The sum, and the most likely class of each pixel, uint8 H×W; of equal classes the first.
    """
    height, width = label.shape
    full = np.empty((len(planes), height, width), np.float32)  # the one copy at the frame's size
    for plane, resized in zip(planes, full, strict=True):
        cv2.resize(plane, (width, height), dst=resized, interpolation=cv2.INTER_LINEAR)
    prediction = np.zeros_like(label)
    loss = LossSum()
    for top in range(0, height, _ROWS):
        rows = slice(top, top + _ROWS)
        loss += _score_rows(full[:, rows], label[rows], prediction[rows])
    return loss, prediction


def _score_rows(logits: Planes, label: Label, prediction: Label) -> LossSum:
    """ln Σ exp(x − m) + m − x of the class drawn, summed; m is a pixel's largest logit.

    Args:
        logits: (C, R, W).
        label: (R, W).
        prediction: (R, W), zeros; gets the classes.
    """
    largest = logits[0].copy()
    ids = np.empty_like(label)
    for class_id, plane in enumerate(logits[1:], 1):
        ids.fill(class_id)
        cv2.copyTo(ids, cv2.compare(plane, largest, cv2.CMP_GT), prediction)
        cv2.max(largest, plane, dst=largest)
    total, drawn = np.zeros_like(largest), np.zeros_like(largest)  # Σ exp(x − m); x − m
    below, power = np.empty_like(largest), np.empty_like(largest)
    for class_id, plane in enumerate(logits):
        cv2.subtract(plane, largest, dst=below)
        cv2.copyTo(below, cv2.compare(label, class_id, cv2.CMP_EQ), drawn)
        cv2.add(total, cv2.exp(below, dst=power), dst=total)
    loss = cv2.subtract(cv2.log(total, dst=total), drawn, dst=total)
    counted = cv2.compare(label, IGNORE, cv2.CMP_NE)
    pixels = cv2.countNonZero(counted)
    if pixels < label.size:
        loss = cv2.copyTo(loss, counted)  # 0 elsewhere
    return LossSum(cv2.sumElems(loss)[0], pixels)


def _confusion(label: Label, prediction: Label, classes: int) -> Counts:
    """int64 (C, C), rows are labels; pixels whose label is not a class are left out."""
    counts = np.zeros((classes, classes), np.int64)
    rows = max(1, _MOST // label.shape[1])
    for top in range(0, len(label), rows):
        pair = [label[top : top + rows], prediction[top : top + rows]]
        found = cv2.calcHist(pair, [0, 1], None, [classes] * 2, [0, classes] * 2)
        counts += found.astype(np.int64).reshape(counts.shape)
    return counts


def score_on_device(
    logits: Tensor, label: Label, squashed: Label
) -> tuple[LossSum, LossSum, Counts, Label]:
    """As `score_frame`, where the logits are. The CPU waits for few results: each wait is long.

    Args:
        squashed: the label at `SQUARE`.

    Returns:
        The losses at the label's size and at `SQUARE`, the confusion matrix, and the prediction.
    """
    truth, small = (_sent(torch.from_numpy(each), logits.device) for each in (label, squashed))
    full = upsample(logits, (label.shape[0], label.shape[1]))  # (C, H, W): the one such copy
    # argmax over channels is slower than max, and differs only in ties.
    prediction = full.max(0).indices  # (H, W)
    pairs = (full, truth), (upsample(logits, SQUARE), small)
    losses = torch.stack([_cross_entropy_on_device(*pair) for pair in pairs])
    confusion = ConfusionMatrix(len(logits), logits.device)
    confusion.update(prediction, truth)
    native, square = (
        LossSum(loss, int(np.count_nonzero(drawn != IGNORE)))
        for loss, drawn in zip(losses.tolist(), (label, squashed), strict=True)
    )
    return (
        native,
        square,
        confusion.counts.cpu().numpy(),
        prediction.to(torch.uint8).cpu().numpy(),
    )


def _sent(label: Tensor, device: torch.device) -> Tensor:
    """A label on the device; from pinned memory, the CPU does not wait for it to arrive."""
    if device.type == "cuda":
        label = label.pin_memory()
    return label.to(device, non_blocking=True)


def _cross_entropy_on_device(logits: Tensor, truth: Tensor) -> Tensor:
    """The sum over pixels not 255, float64, of (C, H, W) logits against an (H, W) label."""
    target = truth.long()[None]
    loss = F.cross_entropy(logits[None], target, ignore_index=IGNORE, reduction="none")
    return loss.sum(dtype=torch.float64)


def _padded(native: LossSum, label: Label) -> LossSum | None:
    """The native sum over the padded area's pixels: the padding counts as predicted right."""
    height, width = label.shape
    if height > PADDED[0] or width > PADDED[1]:
        return None
    return LossSum(native.total, PADDED[0] * PADDED[1] if native.pixels else 0)
