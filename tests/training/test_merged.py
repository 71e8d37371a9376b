"""Pixels that may be one of several classes, held to sums of probabilities in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dashseg.config import LossConfig
from dashseg.training.losses import build_loss
from dashseg.training.merged import MergedLabels

C = 4
GROUPS = ((0, 1), (1, 2, 3))  # ids 4 and 5
MEMBERS = {**{c: (c,) for c in range(C)}, 4: GROUPS[0], 5: GROUPS[1]}
WEIGHTS = (3.0, 5.0, 0.25, 1.0)
MERGED_WEIGHTS = (*WEIGHTS, 3.0, 0.25)  # the smallest of each merged label's classes
NAMES = ["cross_entropy", "ohem", "focal", "lovasz", "dice"]

Batch = tuple[NDArray[np.float32], NDArray[np.int64]]


@pytest.fixture
def batch() -> Batch:
    rng = np.random.default_rng(1)
    label = rng.choice([0, 1, 2, 3, 4, 5, 255], (3, 5, 7))
    return rng.normal(0, 2, (3, C, 5, 7)).astype(np.float32), label


def loss_of(logits: Any, label: Any, weights: Any = None, groups: Any = GROUPS, **settings: Any):
    merged = MergedLabels(groups, C) if groups else None
    loss = build_loss(LossConfig.model_validate(settings), weights, merged)
    return loss(torch.as_tensor(logits), torch.as_tensor(label))


def one(name: str, **settings: Any) -> dict[str, Any]:
    return {"terms": [{"name": name, **settings}]}


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """(B, C, H, W) -> (B, H, W, C)."""
    powers = np.exp(logits.transpose(0, 2, 3, 1).astype(np.float64))
    return powers / powers.sum(-1, keepdims=True)


def pixels(batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Of the pixels that count, the summed probability of what they may be; and their labels."""
    p, label = softmax(batch[0]), batch[1]
    keep = label != 255
    sums = [row[list(MEMBERS[i])].sum() for row, i in zip(p[keep], label[keep], strict=True)]
    return np.array(sums), label[keep]


def weights_of(label: NDArray[np.int64], weights: Any) -> NDArray[np.float64]:
    return np.array(MERGED_WEIGHTS if weights else (1.0,) * 6)[label]


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_cross_entropy_and_focal_take_the_sum_of_probabilities(batch: Batch, weights: Any) -> None:
    p, label = pixels(batch)
    want = np.average(-np.log(p), weights=weights_of(label, weights))
    assert loss_of(*batch, weights).item() == pytest.approx(want, rel=1e-5)
    want = np.average(-((1 - p) ** 1.5) * np.log(p), weights=weights_of(label, weights))
    ours = loss_of(*batch, weights, **one("focal", gamma=1.5))
    assert ours.item() == pytest.approx(want, rel=1e-5)


def test_ohem_finds_hard_pixels_by_the_sum_of_probabilities(batch: Batch) -> None:
    p, label = pixels(batch)
    hard = p < 0.4
    assert 0 < hard[label >= C].sum() < (label >= C).sum()
    ours = loss_of(*batch, WEIGHTS, **one("ohem", threshold=0.4, keep=0.001))
    want = np.average(-np.log(p[hard]), weights=weights_of(label[hard], WEIGHTS))
    assert ours.item() == pytest.approx(want, rel=1e-5)


def test_smoothing_spreads_a_share_over_all_classes(batch: Batch) -> None:
    p, label = pixels(batch)
    every = -np.log(softmax(batch[0])[batch[1] != 255])  # (N, C)
    own = weights_of(label, WEIGHTS)
    sums = 0.9 * own * -np.log(p) + 0.1 * (every * WEIGHTS).mean(1)
    ours = loss_of(*batch, WEIGHTS, label_smoothing=0.1)
    assert ours.item() == pytest.approx(sums.sum() / own.sum(), rel=1e-5)


def counts_for(label: NDArray[np.int64], c: int) -> NDArray[np.bool_]:
    """Where a class is labelled, or certainly is not."""
    counts: NDArray[np.bool_] = label != 255
    for merged in (4, 5):
        counts = counts & ~((label == merged) & (c in MEMBERS[merged]))
    return counts


def test_lovasz_ignores_a_merged_pixel_for_its_own_classes_only(batch: Batch) -> None:
    p, label = softmax(batch[0]), batch[1]
    losses = []
    for c in range(C):
        keep = counts_for(label, c)
        truth, score = label[keep] == c, p[keep][:, c]
        error = np.where(truth, 1 - score, score)
        order = np.argsort(-error)
        wrong = truth[order]
        left = truth.sum() - np.cumsum(wrong)
        jaccard = 1 - left / (truth.sum() + np.cumsum(~wrong))
        losses.append((error[order] * np.diff(jaccard, prepend=0)).sum())
    ours = loss_of(*batch, WEIGHTS, **one("lovasz"))
    assert ours.item() == pytest.approx(np.average(losses, weights=WEIGHTS), rel=1e-5)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_dice_ignores_a_merged_pixel_for_its_own_classes_only(batch: Batch, weights: Any) -> None:
    logits, label = batch
    label[1][label[1] == 2] = 5  # a frame that may show class 2, or not
    label[2] = 4  # a frame without a pixel of one class
    p, frames = softmax(logits), []
    for i in range(2):
        shown = [c for c in range(C) if (label[i] == c).any()]
        dice = []
        for c in shown:
            keep = counts_for(label[i], c)
            truth, score = label[i][keep] == c, p[i][keep][:, c]
            dice.append(2 * score[truth].sum() / (score.sum() + truth.sum()))
        frames.append(1 - np.average(dice, weights=[(weights or (1,) * C)[c] for c in shown]))
    assert loss_of(*batch, weights, **one("dice")).item() == pytest.approx(
        np.mean(frames), rel=1e-5
    )


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_differences(batch: Batch, name: str) -> None:
    logits, label = torch.from_numpy(batch[0][:2, :, ::2, ::3]).double(), batch[1][:2]
    logits = logits.contiguous().requires_grad_()  # (2, 4, 3, 3), enlarged to 5×7
    settings = {"label_smoothing": 0.1} if name == "cross_entropy" else {}
    assert torch.autograd.gradcheck(
        lambda x: loss_of(x, label, **one(name), **settings), logits, atol=1e-5, rtol=1e-3
    )


@pytest.mark.parametrize("name", NAMES)
def test_frames_without_merged_labels_have_the_loss_they_had(batch: Batch, name: str) -> None:
    logits, label = batch
    label[label > C] = 255
    label[label == C] = 0
    results = []
    for groups in ((), GROUPS):
        leaf = torch.from_numpy(logits.copy()).requires_grad_()
        value = loss_of(leaf, label, WEIGHTS, groups, **one(name))
        value.backward()
        assert leaf.grad is not None
        results.append((value.detach(), leaf.grad))
    (before, gradient), (after, own) = results
    if name == "dice":  # summed in another order
        assert torch.allclose(before, after) and torch.allclose(gradient, own, atol=1e-8)
    else:
        assert torch.equal(before, after) and torch.equal(gradient, own)


# lovasz and dice: a pixel of a class without weight still is outside the others, merged or not.
@pytest.mark.parametrize("name", ["cross_entropy", "ohem", "focal"])
def test_a_merged_label_of_a_class_without_weight_is_ignored(batch: Batch, name: str) -> None:
    logits, label = batch
    weights = (0.0, 1.0, 1.0, 1.0)
    without = np.where((label == 4) | (label == 0), 255, label)
    ours, want = (loss_of(logits, it, weights, **one(name)) for it in (label, without))
    assert ours.item() == pytest.approx(want.item(), rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_certain_and_wrong_predictions_have_finite_gradients(name: str) -> None:
    logits = torch.zeros(1, C, 1, 4)
    logits[0, [0, 2, 1, 3], 0, [0, 1, 2, 3]] = 200.0
    leaf = logits.requires_grad_()
    value = loss_of(leaf, np.array([[[4, 4, 5, 0]]]), **one(name))
    value.backward()
    assert value.isfinite() and leaf.grad is not None and leaf.grad.isfinite().all()
