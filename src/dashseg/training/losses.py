"""Losses over logits (B, C, H, W) and labels (B, H, W) whose ignored pixels do not count.

`build_loss(recipe.loss, weights)` sums what `loss.terms` names. Of each term holds: an ignored
pixel changes neither value nor gradient, and a batch of nothing else gives 0 with zero gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.distributed as dist
from kornia.losses import dice_loss
from torch import Tensor, nn
from torch.nn import functional as F

from dashseg.config import LossConfig
from dashseg.data.class_balance import ClassPixels, enet_weights, median_frequency_weights
from dashseg.errors import InputError
from dashseg.labels import IGNORE
from dashseg.models.layers import resize
from dashseg.training.full_size import summed_over_frames


def build_loss(config: LossConfig, weights: Sequence[float] | None) -> WeightedSum:
    """The training loss.

    Args:
        weights: one per class, for every term: pixels count by their class's in cross_entropy,
            ohem and focal, classes in the mean of lovasz and dice. None: all alike.
    """
    terms: list[tuple[float, nn.Module]] = []
    for term in config.terms:
        match term.name:
            case "cross_entropy":
                loss: nn.Module = CrossEntropy(weights, config.label_smoothing)
            case "ohem":
                loss = HardExamples(weights, config.label_smoothing, term.threshold, term.keep)
            case "focal":
                loss = Focal(weights, term.gamma)
            case "lovasz":
                loss = LovaszSoftmax(weights)
            case "dice":
                loss = Dice(weights)
        terms.append((term.weight, loss))
    return WeightedSum(terms)


class WeightedSum(nn.Module):
    """Sum of losses, each times its weight."""

    def __init__(self, terms: Sequence[tuple[float, nn.Module]]) -> None:
        super().__init__()
        self.weights = [weight for weight, _ in terms]
        self.losses = nn.ModuleList(loss for _, loss in terms)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """(B, C, h, w) logits, enlarged to the label's size, int64 (B, H, W) label -> scalar."""
        total = logits.new_zeros((), dtype=torch.float32)
        terms = list(zip(self.weights, self.losses, strict=True))
        by_frame = [(weight, loss) for weight, loss in terms if isinstance(loss, _MeanOverPixels)]
        if by_frame:
            scales = [weight / loss.divisor(label) for weight, loss in by_frame]

            def added(logits: Tensor, label: Tensor) -> Tensor:
                losses = (loss.total(logits, label) for _, loss in by_frame)
                return torch.stack(
                    [scale * loss for scale, loss in zip(scales, losses, strict=True)]
                ).sum()

            total = total + summed_over_frames(added, logits, label)
        if len(by_frame) < len(terms):  # these compare pixels of all frames with each other
            full = resize(logits.float(), label.shape[-2:])
            for weight, loss in terms:
                if not isinstance(loss, _MeanOverPixels):
                    total = total + weight * loss(full, label)
        return total


class _ClassWeighted(nn.Module):
    """A loss with a weight for each class.

    Args:
        weights: one per class; None: all alike.
    """

    weights: Tensor | None

    def __init__(self, weights: Sequence[float] | None) -> None:
        super().__init__()
        self.register_buffer(
            "weights", None if weights is None else torch.tensor(weights, dtype=torch.float32),
            persistent=False,
        )  # fmt: skip

    def _pixel_weights(self, label: Tensor) -> Tensor:
        """float32 (B, H, W): the weight of each pixel's class, 0 where it is ignored."""
        counts = label != IGNORE
        if self.weights is None:
            return counts.float()
        return self.weights[torch.where(counts, label, 0)] * counts


class _MeanOverPixels(_ClassWeighted):
    """A loss of each pixel by itself, averaged by the pixels' weights."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Weighted mean over the pixels that count.

        Args:
            logits: (B, C, H, W).
            label: int64 (B, H, W), 255 = ignore.

        Returns:
            Scalar; 0, with zero gradients, when every pixel is ignored.
        """
        return self.total(logits, label) / self.divisor(label)

    def total(self, logits: Tensor, label: Tensor) -> Tensor:
        """The weighted sum over pixels."""
        raise NotImplementedError

    def divisor(self, label: Tensor) -> Tensor:
        """What the sum is divided by: the pixels' weights, never 0."""
        return _divisor(self._pixel_weights(label).sum())


class CrossEntropy(_MeanOverPixels):
    """Cross-entropy in nats, each pixel counted by the weight of its class.

    Args:
        label_smoothing: share of a pixel's target spread evenly over all classes.
    """

    def __init__(self, weights: Sequence[float] | None = None, label_smoothing: float = 0) -> None:
        super().__init__(weights)
        self.label_smoothing = label_smoothing

    def total(self, logits: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(
            logits.float(), label, self.weights, ignore_index=IGNORE, reduction="sum",
            label_smoothing=self.label_smoothing,
        )  # fmt: skip


class HardExamples(_ClassWeighted):
    """Online hard example mining: cross-entropy over the pixels that are hardest.

    A pixel is hard if its labelled class has less probability than `threshold`; at least the share
    `keep` of all pixels counts as hard. As in HRNet's and DDRNet's training on Cityscapes (after
    Shrivastava et al., "Training region-based object detectors with online hard example mining",
    2016).
    """

    def __init__(
        self,
        weights: Sequence[float] | None = None,
        label_smoothing: float = 0,
        threshold: float = 0.9,
        keep: float = 1 / 16,
    ) -> None:
        super().__init__(weights)
        self.label_smoothing = label_smoothing
        self.easy_below = -math.log(threshold)  # nats
        self.keep = keep

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """(B, C, H, W) logits, int64 (B, H, W) label -> scalar, the mean over the hard pixels."""
        logits = logits.float()
        with torch.no_grad():
            difficulty = F.cross_entropy(logits, label, ignore_index=IGNORE, reduction="none")
            difficulty = difficulty.masked_fill(label == IGNORE, -1)
            least = max(1, round(self.keep * label.numel()))
            # The number of pixels is known without asking the device.
            bound = difficulty.flatten().topk(least, sorted=True).values[-1]
            hard = difficulty >= bound.clamp(min=0, max=self.easy_below)
        kept = label.masked_fill(~hard, IGNORE)
        total = F.cross_entropy(
            logits, kept, self.weights, ignore_index=IGNORE, reduction="sum",
            label_smoothing=self.label_smoothing,
        )  # fmt: skip
        return total / _divisor(self._pixel_weights(kept).sum())


class Focal(_MeanOverPixels):
    """(1 − p)^gamma × cross-entropy: Lin et al., "Focal loss for dense object detection" (2017)."""

    def __init__(self, weights: Sequence[float] | None = None, gamma: float = 2) -> None:
        super().__init__(weights)
        self.gamma = gamma

    def total(self, logits: Tensor, label: Tensor) -> Tensor:
        surprise = F.cross_entropy(logits.float(), label, ignore_index=IGNORE, reduction="none")
        # 1 − p without cancellation; the floor keeps the power's slope finite at p = 1.
        missing = -torch.expm1(-surprise)
        floor = torch.finfo(torch.float32).tiny
        return (
            self._pixel_weights(label) * missing.clamp_min(floor) ** self.gamma * surprise
        ).sum()


class LovaszSoftmax(_ClassWeighted):
    """A convex extension of 1 − IoU, averaged over the classes that the batch shows.

    Berman et al., "The Lovász-Softmax loss" (2018), over the batch as one picture. kornia's knows
    no ignore index and counts classes that no label shows.
    """

    def __init__(self, weights: Sequence[float] | None = None) -> None:
        super().__init__(weights)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """(B, C, H, W) logits, int64 (B, H, W) label -> scalar."""
        classes = logits.shape[1]
        counts = (label != IGNORE).flatten()  # (N,)
        shown = torch.arange(classes, device=label.device).view(-1, 1) == label.flatten()  # (C, N)
        probability = logits.float().softmax(1).transpose(0, 1).flatten(1)  # (C, N)
        # Ignored pixels have error 0 and belong to no class: sorted last, they add nothing.
        error = (shown.float() - probability).abs() * counts
        error, order = error.sort(1, descending=True)
        inside = shown.gather(1, order).float()
        pixels = inside.sum(1, keepdim=True)
        intersection = pixels - inside.cumsum(1)
        union = pixels + (1 - inside).cumsum(1)
        jaccard = 1 - intersection / union
        step = torch.cat([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], 1)
        per_class = (error * step).sum(1)  # (C,)
        weight = (pixels.squeeze(1) > 0).float()
        if self.weights is not None:
            weight = weight * self.weights
        return (per_class * weight).sum() / _at_least_tiny(weight.sum())


class Dice(_ClassWeighted):
    """1 − Dice of each class that a frame shows, averaged over classes, then over frames."""

    def __init__(self, weights: Sequence[float] | None = None) -> None:
        super().__init__(weights)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """(B, C, H, W) logits, int64 (B, H, W) label -> scalar."""
        total = len(label) * dice_loss(
            logits.float(), label, average="macro", weight=self.weights, ignore_index=IGNORE
        )
        # kornia counts a frame without a pixel of weight as a constant loss of 1.
        counted = (self._pixel_weights(label) > 0).flatten(1).any(1).sum()
        return (total - (len(label) - counted)) / counted.clamp_min(1)


def _divisor(weight: Tensor) -> Tensor:
    """What a sum over pixels of this weight is divided by for its mean; never 0.

    With several processes it is their average weight: then the mean of their losses, by which
    they are trained, is that of the whole batch, however many pixels each of them has.
    """
    if dist.is_available() and dist.is_initialized():
        weight = weight.clone()
        dist.all_reduce(weight)
        weight = weight / dist.get_world_size()
    return _at_least_tiny(weight)


def _at_least_tiny(total: Tensor) -> Tensor:
    """A divisor that is not 0."""
    return total.clamp_min(torch.finfo(torch.float32).tiny)


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
