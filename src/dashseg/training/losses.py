"""Losses over logits (B, C, h, w) and labels (B, H, W) whose ignored pixels do not count.

`build_loss(recipe.loss, weights)` sums what `loss.terms` names. Of each term holds: an ignored
pixel changes neither value nor gradient, and a batch of nothing else gives 0 with zero gradients.
Logits are enlarged to the label's size a few frames at a time: what a term must know of the whole
batch (a divisor, which pixels are hard, how much an error counts) it finds out before.
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
from dashseg.curate.class_balance import ClassPixels, enet_weights, median_frequency_weights
from dashseg.errors import InputError
from dashseg.labels import IGNORE
from dashseg.training.full_size import Part, at_full_size, summed_over_frames


def build_loss(config: LossConfig, weights: Sequence[float] | None) -> WeightedSum:
    """The training loss.

    Args:
        weights: one per class, for every term: pixels count by their class's in cross_entropy,
            ohem and focal, classes in the mean of lovasz and dice. None: all alike.
    """
    terms: list[tuple[float, Term]] = []
    for term in config.terms:
        match term.name:
            case "cross_entropy":
                loss: Term = CrossEntropy(weights, config.label_smoothing)
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

    def __init__(self, terms: Sequence[tuple[float, Term]]) -> None:
        super().__init__()
        self.weights = [weight for weight, _ in terms]
        self.losses = nn.ModuleList(loss for _, loss in terms)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """(B, C, h, w) logits, enlarged to the label's size, int64 (B, H, W) label -> scalar."""
        terms: list[Term] = list(self.losses)  # type: ignore[arg-type]
        parts = [term.of_batch(logits, label) for term in terms]

        def added(full: Tensor, frames: slice) -> Tensor:
            losses = (w * part(full, frames) for w, part in zip(self.weights, parts, strict=True))
            return torch.stack(list(losses)).sum()

        return summed_over_frames(added, logits, _size(label))


class Term(nn.Module):
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

    def of_batch(self, logits: Tensor, label: Tensor) -> Part:
        """How much each frame of this batch adds to the loss.

        Args:
            logits: (B, C, h, w).
            label: int64 (B, H, W), 255 = ignore.

        Returns:
            a function of some frames' logits at full size, float32 (n, C, H, W), and of which they
            are; all frames' parts together are the loss.
        """
        raise NotImplementedError

    def _counted(self, label: Tensor) -> Tensor:
        """The label with pixels of a class without weight ignored."""
        if self.weights is None:
            return label
        return label.masked_fill(self._pixel_weights(label) == 0, IGNORE)

    def _pixel_weights(self, label: Tensor) -> Tensor:
        """float32 (B, H, W): the weight of each pixel's class, 0 where it is ignored."""
        counts = label != IGNORE
        if self.weights is None:
            return counts.float()
        return self.weights[torch.where(counts, label, 0)] * counts


class CrossEntropy(Term):
    """Cross-entropy in nats, each pixel counted by the weight of its class.

    Args:
        label_smoothing: share of a pixel's target spread evenly over all classes.
    """

    def __init__(self, weights: Sequence[float] | None = None, label_smoothing: float = 0) -> None:
        super().__init__(weights)
        self.label_smoothing = label_smoothing

    def of_batch(self, logits: Tensor, label: Tensor) -> Part:
        label = self._counted(label)
        divisor = _divisor(self._pixel_weights(label).sum())

        def part(full: Tensor, frames: slice) -> Tensor:
            total = F.cross_entropy(
                full, label[frames], self.weights, ignore_index=IGNORE, reduction="sum",
                label_smoothing=self.label_smoothing,
            )  # fmt: skip
            return total / divisor

        return part


class HardExamples(CrossEntropy):
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
        super().__init__(weights, label_smoothing)
        self.easy_below = -math.log(threshold)  # nats
        self.keep = keep

    def of_batch(self, logits: Tensor, label: Tensor) -> Part:
        label = self._counted(label)
        difficulty = torch.empty(label.shape, device=label.device)
        for full, frames in at_full_size(logits, _size(label)):
            difficulty[frames] = _surprise(full, label[frames])
        difficulty.masked_fill_(label == IGNORE, -1)
        least = max(1, round(self.keep * label.numel()))
        # The number of pixels is known without asking the device.
        bound = difficulty.flatten().topk(least, sorted=True).values[-1]
        # Not ">=": NaN is neither, and must not be lost among the easy ones.
        hard = ~(difficulty < bound.clamp(min=0, max=self.easy_below))
        return super().of_batch(logits, label.masked_fill(~hard, IGNORE))


class Focal(Term):
    """(1 − p)^gamma × cross-entropy: Lin et al., "Focal loss for dense object detection" (2017)."""

    def __init__(self, weights: Sequence[float] | None = None, gamma: float = 2) -> None:
        super().__init__(weights)
        self.gamma = gamma

    def of_batch(self, logits: Tensor, label: Tensor) -> Part:
        label = self._counted(label)
        divisor = _divisor(self._pixel_weights(label).sum())
        floor = torch.finfo(torch.float32).tiny  # keeps the power's slope finite at p = 1

        def part(full: Tensor, frames: slice) -> Tensor:
            surprise = _surprise(full, label[frames])
            missing = -torch.expm1(-surprise)  # 1 − p without cancellation
            focus = missing.clamp_min(floor) ** self.gamma
            return (self._pixel_weights(label[frames]) * focus * surprise).sum() / divisor

        return part


class LovaszSoftmax(Term):
    """A convex extension of 1 − IoU, averaged over the classes that the batch shows.

    Berman et al., "The Lovász-Softmax loss" (2018), over the batch as one picture. kornia's knows
    no ignore index and counts classes that no label shows.
    """

    def of_batch(self, logits: Tensor, label: Tensor) -> Part:
        # Once errors are in order, the loss is linear in them, so in the probabilities:
        # (C, B, H, W) errors, then slopes.
        slopes = logits.new_empty((logits.shape[1], *label.shape), dtype=torch.float32)
        for full, frames in at_full_size(logits, _size(label)):
            slopes[:, frames] = _errors(full, label[frames]).transpose(0, 1)
        weights = torch.stack([(label == i).any() for i in range(len(slopes))]).float()
        if self.weights is not None:
            weights = weights * self.weights
        weights = weights / _at_least_tiny(weights.sum())
        at_zero = slopes.new_zeros(len(label))  # of each frame, were all its probabilities 0
        for i, weight in enumerate(weights):  # in place, and one class at a time: orders are large
            inside = label == i
            steps = weight * _jaccard_steps(slopes[i].flatten(), inside.flatten()).view_as(label)
            at_zero += (steps * inside).sum((1, 2))
            slopes[i] = torch.where(inside, -steps, steps)
        slopes.masked_fill_(label == IGNORE, 0)

        def part(full: Tensor, frames: slice) -> Tensor:
            changes = slopes[:, frames].transpose(0, 1) * full.softmax(1)
            return at_zero[frames].sum() + changes.sum()

        return part


def _errors(full: Tensor, label: Tensor) -> Tensor:
    """(n, C, H, W) distance of each class's probability from 1 where it is labelled, else from 0.

    Ignored pixels have error 0 and belong to no class: sorted last, they add nothing.
    """
    errors = full.softmax(1)
    ignored = (label == IGNORE).unsqueeze(1)
    labelled = label.unsqueeze(1).masked_fill(ignored, 0)
    errors.scatter_(1, labelled, (1 - errors.gather(1, labelled)).clamp_min(0))
    return errors.masked_fill_(ignored, 0)


def _jaccard_steps(errors: Tensor, inside: Tensor) -> Tensor:
    """By how much 1 − IoU grows at each pixel when pixels turn wrong in the order of their errors.

    Args:
        errors: float32 (N,) of one class, 0 or more. inside: bool (N,), where it is labelled.
    """
    # Floats of one sign are in the order of their bits, and a CPU sorts integers, ascending, by
    # radix: eight times as fast.
    order = (torch.iinfo(torch.int32).max - errors.view(torch.int32)).argsort()
    ordered = inside[order].float()
    pixels = ordered.sum()
    missed = ordered.cumsum(0)
    jaccard = 1 - (pixels - missed) / (pixels + (1 - ordered).cumsum(0))
    steps = torch.cat([jaccard[:1], jaccard.diff()])
    return torch.empty_like(steps).scatter_(0, order, steps)


class Dice(Term):
    """1 − Dice of each class that a frame shows, averaged over classes, then over frames."""

    def of_batch(self, logits: Tensor, label: Tensor) -> Part:
        # kornia counts a frame without a pixel of weight as a constant loss of 1.
        counted = (self._pixel_weights(label) > 0).flatten(1).any(1)  # (B,)
        divisor = _divisor(counted.float().sum())

        def part(full: Tensor, frames: slice) -> Tensor:
            total = len(full) * dice_loss(
                full, label[frames], average="macro", weight=self.weights, ignore_index=IGNORE
            )
            return (total - (~counted[frames]).sum()) / divisor

        return part


def _size(label: Tensor) -> tuple[int, int]:
    return label.shape[-2], label.shape[-1]


def _surprise(full: Tensor, label: Tensor) -> Tensor:
    """(n, H, W) −ln of the labelled class's probability, 0 where the pixel is ignored."""
    return F.cross_entropy(full, label, ignore_index=IGNORE, reduction="none")


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
        InputError: given weights that are not one per class, or negative, or all 0.
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
