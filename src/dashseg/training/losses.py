"""Cross-entropy over labels with ignored pixels, and the class weights that go into it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dashseg.config import LossConfig
from dashseg.data.class_balance import ClassPixels, enet_weights, median_frequency_weights
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


def class_weights(config: LossConfig, pixels: ClassPixels) -> list[float] | None:
    """The weights that `loss.class_weights` asks for.

    Args:
        pixels: of each class in the training labels.

    Raises:
        InputError: given weights that are not one per class, or not positive.
    """
    match config.class_weights:
        case "none":
            return None
        case "enet":
            return enet_weights(pixels.counts).tolist()
        case "median_frequency":
            return median_frequency_weights(pixels.counts, pixels.present).tolist()
        case given:
            if len(given) != len(pixels.counts):
                raise InputError(
                    f"loss.class_weights: {len(given)} numbers for {len(pixels.counts)} classes;"
                    " give one for each, or --set loss.class_weights=none"
                )
            if min(given) < 0 or max(given) == 0:
                raise InputError("loss.class_weights: weights are 0 or more, and one is above 0")
            return list(given)
