"""Logits and label of one frame -> cross-entropies, prediction and confusion matrix.

Published comma10k losses average over different pixels, so one frame is scored three ways; each
is kept as a sum and a pixel count, and divided once, for the whole data set. Natural logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dashseg.evaluation.metrics import ConfusionMatrix, Counts
from dashseg.images import resize_label
from dashseg.inference import upsample
from dashseg.labels import IGNORE, Label

PADDED = (896, 1184)  # comma10k's 874×1164 frames, padded to multiples of 32 for a U-Net
SQUARE = (256, 256)  # the original's input, which its labels were squashed to as well

# Rows scored at a time: 6 MB for 1164 pixels of 5 classes, beside the 20 MB of the whole frame.
# Shorter strips make threads wait for each other more often, which tells on a busy machine.
_ROWS = 256


@dataclass(frozen=True)
class LossSum:
    """Cross-entropy summed over pixels, and how many pixels it is to be divided by."""

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
    prediction: Label  # uint8 H×W


@torch.inference_mode()
def score_frame(logits: Tensor, label: Label) -> FrameScore:
    """Score one frame.

    Args:
        logits: float32 (C, h, w) of any size, on any device.
        label: uint8 H×W at the frame's own size, 255 = ignore.
    """
    full = upsample(logits, label.shape)  # (C, H, W): the one copy at the frame's size
    truth = torch.from_numpy(label).to(logits.device)
    native = cross_entropy(full, truth)
    # Of ties, max takes one class and argmax the first; argmax over channels is ten times slower.
    prediction = full.max(0).indices  # (H, W)
    confusion = ConfusionMatrix(len(logits)).to(logits.device)
    confusion.update(prediction, truth)
    return FrameScore(
        native,
        _padded(native, label),
        _square(logits, label),
        confusion.compute().cpu().numpy(),
        prediction.to(torch.uint8).cpu().numpy(),
    )


def cross_entropy(logits: Tensor, label: Tensor) -> LossSum:
    """Cross-entropy of (C, H, W) float32 logits against an (H, W) label, over pixels not 255.

    Strips of rows bound the memory to a fraction of the logits' own, and are added in double
    precision: a data set's worth of pixels added in float32 would lose digits.
    """
    total = 0.0
    for rows in range(0, label.shape[0], _ROWS):
        strip = label[rows : rows + _ROWS].long()
        loss = F.cross_entropy(
            logits[None, :, rows : rows + _ROWS], strip[None], ignore_index=IGNORE, reduction="none"
        )
        total += loss.sum().item()
    return LossSum(total, int((label != IGNORE).sum()))


def _padded(native: LossSum, label: Label) -> LossSum | None:
    """The native sum over the padded area's pixels: padding is a class that is always right."""
    height, width = label.shape
    if height > PADDED[0] or width > PADDED[1]:
        return None
    return LossSum(native.total, PADDED[0] * PADDED[1] if native.pixels else 0)


def _square(logits: Tensor, label: Label) -> LossSum:
    """Label squashed to 256×256 by nearest neighbour, logits straight from their own size.

    For a model that works at 256×256 it is the number that it was trained on.
    """
    squashed = torch.from_numpy(np.ascontiguousarray(resize_label(label, SQUARE)))
    return cross_entropy(upsample(logits, SQUARE), squashed.to(logits.device))
