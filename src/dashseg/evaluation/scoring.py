"""Logits and label of one frame -> cross-entropies, prediction and confusion matrix.

Published comma10k losses average over different pixels, so each frame is scored in three ways. Each
is a sum and a pixel count, divided once for the whole data set. Natural logarithm.
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

# Rows scored at a time: 6 MB for 1164 pixels of 5 classes; the whole frame takes 20 MB.
# With shorter strips threads wait for each other more often, which is slow on a busy machine.
_ROWS = 256


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
    # argmax over channels is ten times slower than max, and differs only in ties.
    prediction = full.max(0).indices  # (H, W)
    confusion = ConfusionMatrix(len(logits), logits.device)
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
    """The native sum over the padded area's pixels: the padding counts as predicted right."""
    height, width = label.shape
    if height > PADDED[0] or width > PADDED[1]:
        return None
    return LossSum(native.total, PADDED[0] * PADDED[1] if native.pixels else 0)


def _square(logits: Tensor, label: Label) -> LossSum:
    """Label squashed to 256×256 by nearest neighbour, logits resized directly to it.

    For a model that works at 256×256 this is the loss that it was trained on.
    """
    squashed = torch.from_numpy(np.ascontiguousarray(resize_label(label, SQUARE)))
    return cross_entropy(upsample(logits, SQUARE), squashed.to(logits.device))
