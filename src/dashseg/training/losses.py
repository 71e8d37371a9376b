"""Training losses: logits (B, C, h, w), label (B, H, W) -> scalar.

`build_loss(recipe.loss, weights)` sums the terms of `loss.terms`. For every term, ignored pixels
change neither value nor gradient, and a batch of ignored pixels gives 0 with zero gradients. Logits
are enlarged to the label's size a few frames at a time. What a term needs of the whole batch (a
divisor, the hard pixels, the slopes of errors), `Term.of_batch` computes first.

A label may be merged: one of several classes, see `MergedLabels`. cross_entropy, ohem and focal
take the sum of these classes' probabilities. In lovasz and dice, such a pixel is ignored for its
classes and counts as outside every other class.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
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
from dashseg.training.merged import MergedLabels


def build_loss(
    config: LossConfig, weights: Sequence[float] | None, merged: MergedLabels | None = None
) -> WeightedSum:
    """Make the training loss.

    Args:
        merged: of labels that may be one of several classes; None: there are none.
        weights: one per class, for every term. cross_entropy, ohem and focal weight each pixel by
            its class; lovasz and dice weight the classes in their mean. None: all 1.
    """
    terms: list[tuple[float, Term]] = []
    for term in config.terms:
        match term.name:
            case "cross_entropy":
                loss: Term = CrossEntropy(weights, config.label_smoothing, merged=merged)
            case "ohem":
                loss = HardExamples(
                    weights, config.label_smoothing, term.threshold, term.keep, merged=merged
                )
            case "focal":
                loss = Focal(weights, term.gamma, merged=merged)
            case "lovasz":
                loss = LovaszSoftmax(weights, merged=merged)
            case "dice":
                loss = Dice(weights, merged=merged)
        terms.append((term.weight, loss))
    return WeightedSum(terms)


class WeightedSum(nn.Module):
    """The weighted sum of several losses."""

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


class Term(nn.Module, ABC):
    """A loss with class weights.

    Args:
        weights: one per class; None: all 1.
        merged: of labels that may be one of several classes; None: there are none.
    """

    weights: Tensor | None  # one per class
    label_weights: Tensor | None  # one per class, then one per merged label

    def __init__(
        self, weights: Sequence[float] | None = None, *, merged: MergedLabels | None = None
    ) -> None:
        super().__init__()
        self.merged = merged
        own = None if weights is None else torch.tensor(weights, dtype=torch.float32)
        self.register_buffer("weights", own, persistent=False)
        if own is not None and merged is not None:
            own = merged.weights(own)
        self.register_buffer("label_weights", own, persistent=False)

    @abstractmethod
    def of_batch(self, logits: Tensor, label: Tensor) -> Part:
        """Prepare the loss of a batch.

        Args:
            logits: (B, C, h, w).
            label: int64 (B, H, W), 255 = ignore; ids from C on are merged labels.

        Returns:
            A function that computes the part of the loss of some frames, from their logits at full
            size, float32 (n, C, H, W), and their slice of the batch. The parts' sum is the loss.
        """

    def _without_zero_weights(self, label: Tensor) -> Tensor:
        """The label, with 255 also where the weight of the class is 0."""
        if self.label_weights is None:
            return label
        return label.masked_fill(self._pixel_weights(label) == 0, IGNORE)

    def _pixel_weights(self, label: Tensor) -> Tensor:
        """float32 (B, H, W): the weight of each pixel's class; 0 if the pixel is ignored."""
        counts = label != IGNORE
        if self.label_weights is None:
            return counts.float()
        return self.label_weights[torch.where(counts, label, 0)] * counts

    def _class_label(self, label: Tensor) -> Tensor:
        """The label, with 255 in place of merged labels."""
        return label if self.merged is None else self.merged.without(label)

    def _pixel_losses(self, full: Tensor, label: Tensor) -> Tensor:
        """(n, H, W): −ln of the labelled class's probability; 0 if the pixel is ignored."""
        losses = F.cross_entropy(
            full, self._class_label(label), ignore_index=IGNORE, reduction="none"
        )
        return losses if self.merged is None else losses + self.merged.losses(full, label)


class CrossEntropy(Term):
    """Cross-entropy in nats: the mean over pixels, weighted by their classes.

    Args:
        label_smoothing: share of each pixel's target that is spread evenly over all classes.
    """

    def __init__(
        self,
        weights: Sequence[float] | None = None,
        label_smoothing: float = 0,
        *,
        merged: MergedLabels | None = None,
    ) -> None:
        super().__init__(weights, merged=merged)
        self.label_smoothing = label_smoothing

    def of_batch(self, logits: Tensor, label: Tensor) -> Part:
        label = self._without_zero_weights(label)
        divisor = shared_divisor(self._pixel_weights(label).sum())

        def part(full: Tensor, frames: slice) -> Tensor:
            total = F.cross_entropy(
                full, self._class_label(label[frames]), self.weights, ignore_index=IGNORE,
                reduction="sum", label_smoothing=self.label_smoothing,
            )  # fmt: skip
            if self.merged is not None:
                total = total + self._of_merged(full, label[frames])
            return total / divisor

        return part

    def _of_merged(self, full: Tensor, label: Tensor) -> Tensor:
        """The sum over pixels with a merged label, smoothed as PyTorch smooths the others."""
        assert self.merged is not None
        losses = (self.merged.losses(full, label) * self._pixel_weights(label)).sum()
        if self.label_smoothing == 0:
            return losses
        spread = -full.log_softmax(1)
        if self.weights is not None:
            spread = spread * self.weights.view(1, -1, 1, 1)
        spread = (spread.mean(1) * self.merged.found(label)).sum()
        return torch.lerp(losses, spread, self.label_smoothing)


class HardExamples(CrossEntropy):
    """Online hard example mining: cross-entropy over the hardest pixels.

    A pixel is hard if the probability of its labelled class is below `threshold`. At least the
    share `keep` of all pixels is used. As in HRNet's and DDRNet's training on Cityscapes, after
    Shrivastava et al., "Training region-based object detectors with online hard example mining"
    (2016).
    """

    def __init__(
        self,
        weights: Sequence[float] | None = None,
        label_smoothing: float = 0,
        threshold: float = 0.9,
        keep: float = 1 / 16,
        *,
        merged: MergedLabels | None = None,
    ) -> None:
        super().__init__(weights, label_smoothing, merged=merged)
        self.hard_above = -math.log(threshold)  # nats
        self.keep = keep

    def of_batch(self, logits: Tensor, label: Tensor) -> Part:
        label = self._without_zero_weights(label)
        difficulty = torch.empty(label.shape, device=label.device)
        for full, frames in at_full_size(logits, _size(label)):
            difficulty[frames] = self._pixel_losses(full, label[frames])
        difficulty.masked_fill_(label == IGNORE, -1)
        least = max(1, round(self.keep * label.numel()))
        # `topk` of a known number does not wait for the GPU.
        bound = difficulty.flatten().topk(least, sorted=True).values[-1]
        # Not ">=", which is false for NaN too: NaN must count as hard, to reach the loss.
        hard = ~(difficulty < bound.clamp(min=0, max=self.hard_above))
        return super().of_batch(logits, label.masked_fill(~hard, IGNORE))


class Focal(Term):
    """(1 − p)^gamma × cross-entropy: Lin et al., "Focal loss for dense object detection" (2017)."""

    def __init__(
        self,
        weights: Sequence[float] | None = None,
        gamma: float = 2,
        *,
        merged: MergedLabels | None = None,
    ) -> None:
        super().__init__(weights, merged=merged)
        self.gamma = gamma

    def of_batch(self, logits: Tensor, label: Tensor) -> Part:
        label = self._without_zero_weights(label)
        divisor = shared_divisor(self._pixel_weights(label).sum())
        floor = torch.finfo(torch.float32).tiny  # keeps the power's gradient finite at p = 1

        def part(full: Tensor, frames: slice) -> Tensor:
            losses = self._pixel_losses(full, label[frames])
            missing = -torch.expm1(-losses)  # 1 − p without cancellation
            focus = missing.clamp_min(floor) ** self.gamma
            return (self._pixel_weights(label[frames]) * focus * losses).sum() / divisor

        return part


class LovaszSoftmax(Term):
    """A convex extension of 1 − IoU, averaged over the classes in the batch's labels.

    Berman et al., "The Lovász-Softmax loss" (2018), with the whole batch as one image. kornia's has
    no ignore index and counts classes that are in no label.
    """

    def of_batch(self, logits: Tensor, label: Tensor) -> Part:
        # For a fixed order of the errors, the loss is linear in them, hence in the probabilities.
        # (C, B, H, W): first errors, then, in place, the slopes of the loss.
        slopes = logits.new_empty((logits.shape[1], *label.shape), dtype=torch.float32)
        for full, frames in at_full_size(logits, _size(label)):
            slopes[:, frames] = self._errors(full, label[frames]).transpose(0, 1)
        weights = torch.stack([(label == i).any() for i in range(len(slopes))]).float()
        if self.weights is not None:
            weights = weights * self.weights
        weights = weights / _at_least_tiny(weights.sum())
        at_zero = slopes.new_zeros(len(label))  # (B,) each frame's loss if probabilities were 0
        for i, weight in enumerate(weights):  # one class at a time: sorting takes much memory
            inside = label == i
            steps = weight * _jaccard_steps(slopes[i].flatten(), inside.flatten()).view_as(label)
            at_zero += (steps * inside).sum((1, 2))
            slopes[i] = torch.where(inside, -steps, steps)
            if self.merged is not None:
                slopes[i].masked_fill_(self.merged.may_be(label, i), 0)
        slopes.masked_fill_(label == IGNORE, 0)

        def part(full: Tensor, frames: slice) -> Tensor:
            changes = slopes[:, frames].transpose(0, 1) * full.softmax(1)
            return at_zero[frames].sum() + changes.sum()

        return part

    def _errors(self, full: Tensor, label: Tensor) -> Tensor:
        """(n, C, H, W): 1 − p for the labelled class, p for the others.

        Ignored pixels have error 0 and belong to no class. Sorted last, they add nothing. So it is
        with a merged label in its own classes.
        """
        p = full.softmax(1)
        own = self._class_label(label)
        ignored = (own == IGNORE).unsqueeze(1)
        labelled = own.unsqueeze(1).masked_fill(ignored, 0)
        errors = p.scatter(1, labelled, (1 - p.gather(1, labelled)).clamp_min(0))
        errors.masked_fill_(ignored, 0)
        return errors if self.merged is None else errors + p * self.merged.excluded(label)


def _jaccard_steps(errors: Tensor, inside: Tensor) -> Tensor:
    """float32 (N,): the growth of 1 − IoU as pixels become wrong, the largest error first.

    Args:
        errors: float32 (N,) of one class, not negative.
        inside: bool (N,), where the class is labelled.
    """
    # Non-negative floats have the order of their bits as integers. On a CPU, an ascending sort of
    # integers (by radix) is eight times as fast.
    order = (torch.iinfo(torch.int32).max - errors.view(torch.int32)).argsort()
    ordered = inside[order].float()
    pixels = ordered.sum()
    missed = ordered.cumsum(0)
    jaccard = 1 - (pixels - missed) / (pixels + (1 - ordered).cumsum(0))
    steps = torch.cat([jaccard[:1], jaccard.diff()])
    return torch.empty_like(steps).scatter_(0, order, steps)


class Dice(Term):
    """1 − Dice of each class in a frame's label, averaged over classes, then over frames."""

    def of_batch(self, logits: Tensor, label: Tensor) -> Part:
        # kornia gives a frame without such a pixel a constant loss of 1.
        own = self._class_label(label)
        counted = (self._pixel_weights(own) > 0).flatten(1).any(1)  # (B,)
        divisor = shared_divisor(counted.float().sum())

        def part(full: Tensor, frames: slice) -> Tensor:
            if self.merged is not None:
                losses = self._of_frames(full, label[frames], own[frames])
                return (losses * counted[frames]).sum() / divisor
            total = len(full) * dice_loss(
                full, label[frames], average="macro", weight=self.weights, ignore_index=IGNORE
            )
            return (total - (~counted[frames]).sum()) / divisor

        return part

    def _of_frames(self, full: Tensor, label: Tensor, own: Tensor) -> Tensor:
        """(n,) each frame's loss, with merged labels; kornia's has one mask for all classes.

        Args:
            own: the label, with 255 in place of merged labels.
        """
        assert self.merged is not None
        p = full.softmax(1)  # (n, C, H, W)
        classes = torch.arange(p.shape[1], device=p.device)
        inside = own.unsqueeze(1) == classes.view(1, -1, 1, 1)
        outside = (own != IGNORE).unsqueeze(1) & ~inside | self.merged.excluded(label)
        covered = inside.sum((2, 3))  # (n, C) pixels
        mass = (p * (inside | outside)).sum((2, 3))
        # + 1 where a class has no pixel: it has no weight, and must not divide by 0.
        dice = 2 * (p * inside).sum((2, 3)) / (mass + covered + (covered == 0))
        weights = (covered > 0).float() if self.weights is None else self.weights * (covered > 0)
        return ((1 - dice) * weights).sum(1) / _at_least_tiny(weights.sum(1))


def _size(label: Tensor) -> tuple[int, int]:
    return label.shape[-2], label.shape[-1]


def shared_divisor(weight: Tensor) -> Tensor:
    """The total weight that turns a weighted sum into a mean; never 0.

    Of several processes, their average total: then the mean of their losses, which DDP trains on,
    is the loss of the whole batch, even if they have different numbers of pixels.
    """
    if dist.is_available() and dist.is_initialized():
        weight = weight.clone()
        dist.all_reduce(weight)
        weight = weight / dist.get_world_size()
    return _at_least_tiny(weight)


def _at_least_tiny(total: Tensor) -> Tensor:
    """`total`, or a tiny number to divide by if it is 0."""
    return total.clamp_min(torch.finfo(torch.float32).tiny)


def class_weights(config: LossConfig, pixels: ClassPixels) -> list[float] | None:
    """The weights of `loss.class_weights`, one per class; None: all 1.

    Args:
        pixels: counts of each class in the training labels.

    Raises:
        InputError: the recipe's own weights are not one per class, negative, or all 0.
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
                    " give one for each, or --set loss.class_weights=none or =enet"
                )
            if min(given) < 0 or max(given) == 0:
                raise InputError(
                    "loss.class_weights: weights must be 0 or more, and at least one above 0"
                )
            return list(given)
