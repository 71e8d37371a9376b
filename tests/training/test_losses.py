"""Losses are those of the papers, computed here anew in NumPy, and ignored pixels are no part."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import jaccard_score

from dashseg.config import LossConfig
from dashseg.curate.class_balance import ClassPixels
from dashseg.errors import InputError
from dashseg.training.losses import build_loss, class_weights

Floats = NDArray[np.float64]
WEIGHTS = (1.0, 5.0, 0.25)
NAMES = ["cross_entropy", "ohem", "focal", "lovasz", "dice"]


def loss_of(
    logits: NDArray[np.float32] | torch.Tensor, label: NDArray[np.int64],
    weights: tuple[float, ...] | None = None, **settings: object,
) -> torch.Tensor:  # fmt: skip
    config = LossConfig.model_validate(settings)
    return build_loss(config, weights)(torch.as_tensor(logits), torch.from_numpy(label))


def one(name: str, **settings: object) -> dict[str, Any]:
    return {"terms": [{"name": name, **settings}]}


@pytest.fixture
def batch() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits (3, 3, 5, 7), and labels of three classes with a third of the pixels ignored."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, (3, 5, 7))
    label[rng.random(label.shape) < 0.3] = 255
    return rng.normal(0, 3, (3, 3, 5, 7)).astype(np.float32), label


def probabilities(logits: NDArray[np.float32], label: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Softmax (N, C) of the pixels that count, and their labels (N,)."""
    keep = label != 255
    scores = logits.transpose(0, 2, 3, 1)[keep].astype(np.float64)
    softmax = np.exp(scores - scores.max(1, keepdims=True))
    return softmax / softmax.sum(1, keepdims=True), label[keep]


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("name", NAMES)
def test_no_loss_waits_for_a_gpu(name: str, weights: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device "meta" has no values: reading one back, which is what waits, raises an error."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # "meta" has none
    loss = build_loss(LossConfig.model_validate(one(name)), weights).to("meta")
    logits = torch.empty(3, 3, 5, 7, device="meta", requires_grad=True)
    label = torch.empty(3, 19, 27, dtype=torch.long, device="meta")
    (gradient,) = torch.autograd.grad(loss(logits, label), logits)
    assert gradient.is_meta
    with pytest.raises(RuntimeError, match="meta tensors"):
        float(gradient.sum())


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_cross_entropy_is_the_weighted_mean_of_minus_log_p(
    batch: tuple[NDArray[np.float32], NDArray[np.int64]], weights: Any
) -> None:
    p, label = probabilities(*batch)
    pixel = -np.log(p[np.arange(len(label)), label])
    want = np.average(pixel, weights=np.array(weights or (1, 1, 1))[label])
    assert float(loss_of(*batch, weights)) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("gamma", [0.0, 2.0, 3.5])
def test_focal_is_cross_entropy_times_one_minus_p_to_gamma(
    batch: tuple[NDArray[np.float32], NDArray[np.int64]], weights: Any, gamma: float
) -> None:
    p, label = probabilities(*batch)
    p = p[np.arange(len(label)), label]
    want = np.average(
        -((1 - p) ** gamma) * np.log(p), weights=np.array(weights or (1, 1, 1))[label]
    )
    ours = loss_of(*batch, weights, **one("focal", gamma=gamma))
    assert float(ours) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize(("threshold", "keep"), [(0.5, 0.01), (0.1, 0.4), (0.9, 1.0)])
def test_ohem_is_cross_entropy_over_the_hardest_pixels(
    batch: tuple[NDArray[np.float32], NDArray[np.int64]],
    weights: Any,
    threshold: float,
    keep: float,
) -> None:
    p, label = probabilities(*batch)
    p = p[np.arange(len(label)), label]
    least = min(round(keep * batch[1].size), len(p))
    hard = (p < threshold) | (p <= np.sort(p)[least - 1])
    assert hard.sum() < len(p) or keep == 1
    want = np.average(-np.log(p[hard]), weights=np.array(weights or (1, 1, 1))[label[hard]])
    ours = loss_of(*batch, weights, **one("ohem", threshold=threshold, keep=keep))
    assert float(ours) == pytest.approx(want, rel=1e-5)


def lovasz(p: Floats, label: Floats, weights: tuple[float, ...]) -> float:
    """Algorithm 1 of Berman et al. (2018), pixel by pixel."""
    total = weight_sum = 0.0
    for c, weight in enumerate(weights):
        truth = label == c
        if not truth.any():
            continue
        error = np.where(truth, 1 - p[:, c], p[:, c])
        order = np.argsort(-error)
        wrong: set[int] = set()
        before = value = 0.0
        for i in order:
            wrong.add(int(i))
            hit = truth.sum() - sum(truth[j] for j in wrong)
            union = truth.sum() + sum(not truth[j] for j in wrong)
            jaccard = 1 - hit / union
            value += error[i] * (jaccard - before)
            before = jaccard
        total += weight * value
        weight_sum += weight
    return total / weight_sum


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("absent", [None, 1])
def test_lovasz_is_the_papers(
    batch: tuple[NDArray[np.float32], NDArray[np.int64]], weights: Any, absent: int | None
) -> None:
    logits, label = batch
    if absent is not None:
        label[label == absent] = 0
    want = lovasz(*probabilities(logits, label), weights or (1, 1, 1))
    ours = loss_of(logits, label, weights, **one("lovasz"))
    assert float(ours) == pytest.approx(want, rel=1e-5)


def test_lovasz_of_a_certain_prediction_is_one_minus_its_iou(
    batch: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> None:
    logits, label = batch
    predicted = logits.argmax(1)
    sure = 100 * np.eye(3, dtype=np.float32)[predicted].transpose(0, 3, 1, 2)
    keep = label != 255
    want = 1 - jaccard_score(label[keep], predicted[keep], average="macro")
    assert float(loss_of(sure, label, **one("lovasz"))) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_dice_is_the_mean_over_frames_and_the_classes_in_their_labels(
    batch: tuple[NDArray[np.float32], NDArray[np.int64]], weights: Any
) -> None:
    logits, label = batch
    label[1][label[1] == 2] = 0  # a frame without class 2
    per_frame = []
    for frame in range(len(label)):
        p, ids = probabilities(logits[frame : frame + 1], label[frame : frame + 1])
        shown = np.unique(ids)
        dice = [2 * p[ids == c, c].sum() / (p[:, c].sum() + (ids == c).sum()) for c in shown]
        per_frame.append(1 - np.average(dice, weights=np.array(weights or (1, 1, 1))[shown]))
    ours = loss_of(logits, label, weights, **one("dice"))
    assert float(ours) == pytest.approx(np.mean(per_frame), rel=1e-5)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("name", NAMES)
def test_ignored_pixels_change_neither_value_nor_gradient(
    batch: tuple[NDArray[np.float32], NDArray[np.int64]], name: Any, weights: Any
) -> None:
    logits, label = batch
    label[2] = 255  # a whole frame, too
    ignored = np.broadcast_to((label == 255)[:, None], logits.shape)
    other = np.where(ignored, np.random.default_rng(5).normal(0, 30, logits.shape), logits)
    results = []
    for values in (logits, other.astype(np.float32)):
        leaf = torch.from_numpy(values.copy()).requires_grad_()
        value = loss_of(leaf, label, weights, **one(name))
        value.backward()
        assert leaf.grad is not None
        assert not leaf.grad[torch.from_numpy(ignored.copy())].any()
        assert leaf.grad.any()
        results.append((value.detach(), leaf.grad))
    assert torch.allclose(results[0][0], results[1][0], rtol=1e-6)
    assert torch.allclose(results[0][1], results[1][1], rtol=1e-5, atol=1e-8)
    without = loss_of(logits[:2], label[:2], weights, **one(name, **_same_count(name)))
    with_frame = loss_of(logits, label, weights, **one(name, **_same_count(name)))
    assert float(without.detach()) == pytest.approx(float(with_frame), rel=1e-5)


def _same_count(name: str) -> dict[str, float]:
    """ohem keeps a share of all pixels: few enough that the threshold decides."""
    return {"keep": 0.001} if name == "ohem" else {}


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_ignored_pixels_gives_zero_and_no_gradient(name: Any, weights: Any) -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = loss_of(logits, np.full((2, 4, 4), 255), weights, **one(name))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None and not logits.grad.any()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_certain_predictions_are_finite(name: Any) -> None:
    label = np.array([[[0, 1, 2, 0]]])
    logits = torch.zeros(1, 3, 1, 4)
    logits[0, [0, 1, 0, 1], 0, [0, 1, 2, 3]] = 200.0  # two right, two wrong, all beyond doubt
    leaf = logits.requires_grad_()
    value = loss_of(leaf, label, **one(name))
    value.backward()
    assert value.isfinite() and leaf.grad is not None and leaf.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_gradient_descent_lowers_the_loss(
    batch: tuple[NDArray[np.float32], NDArray[np.int64]], name: Any
) -> None:
    logits, label = batch
    leaf = torch.from_numpy(logits).requires_grad_()
    before = loss_of(leaf, label, WEIGHTS, **one(name))
    before.backward()
    assert leaf.grad is not None
    with torch.no_grad():
        leaf -= 0.01 * leaf.grad / leaf.grad.abs().max()
    assert float(loss_of(leaf, label, WEIGHTS, **one(name)).detach()) < float(before.detach())


@pytest.mark.parametrize("name", NAMES)
def test_a_nan_logit_gives_a_nan_loss(
    batch: tuple[NDArray[np.float32], NDArray[np.int64]], name: Any
) -> None:
    logits, label = batch
    logits[1, 2][label[1] != 255] = np.nan
    assert loss_of(logits, label, **one(name)).isnan()


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_a_class_with_weight_0_has_finite_gradients(name: Any) -> None:
    logits = torch.zeros(2, 3, 4, 4)
    logits[:, 0] = 50.0
    leaf = logits.requires_grad_()
    value = loss_of(leaf, np.ones((2, 4, 4), np.int64), (1.0, 0.0, 2.0), **one(name))
    value.backward()
    assert value.isfinite() and leaf.grad is not None and leaf.grad.isfinite().all()


@pytest.mark.parametrize(
    ("name", "smoothing"),
    [("cross_entropy", 0), ("cross_entropy", 0.2), ("ohem", 0), ("ohem", 0.2), ("focal", 0)],
)
def test_pixels_of_a_class_with_weight_0_do_not_count(
    batch: tuple[NDArray[np.float32], NDArray[np.int64]], name: str, smoothing: float
) -> None:
    logits, label = batch
    settings = {
        **one(name, **({"keep": 1} if name == "ohem" else {})),
        "label_smoothing": smoothing,
    }
    ignored = np.where(label == 1, 255, label)
    ours = loss_of(logits, label, (1.0, 0.0, 2.0), **settings)
    assert float(ours) == pytest.approx(
        float(loss_of(logits, ignored, (1.0, 0.0, 2.0), **settings))
    )
    nothing = np.where(label == 255, 255, 1)
    assert float(loss_of(logits, nothing, (1.0, 0.0, 2.0), **settings)) == 0


def test_terms_add_up_by_their_weights(
    batch: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> None:
    parts = {name: float(loss_of(*batch, WEIGHTS, **one(name))) for name in NAMES}
    terms = [{"name": name, "weight": 0.5 + i} for i, name in enumerate(NAMES)]
    want = sum((0.5 + i) * parts[name] for i, name in enumerate(NAMES))
    assert float(loss_of(*batch, WEIGHTS, terms=terms)) == pytest.approx(want, rel=1e-5)


def test_losses_of_half_precision_logits_are_summed_in_float32(
    batch: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> None:
    logits, label = batch
    half = torch.from_numpy(logits).bfloat16()
    for name in NAMES:
        ours = loss_of(half, label, WEIGHTS, **one(name))
        assert ours.dtype == torch.float32
        assert float(ours) == pytest.approx(
            float(loss_of(half.float(), label, WEIGHTS, **one(name)))
        )


def test_given_weights_must_be_one_per_class() -> None:
    pixels = ClassPixels(3)
    assert class_weights(LossConfig(class_weights=(1.0, 2.0, 0.0)), pixels) == [1, 2, 0]
    with pytest.raises(InputError, match="2 numbers for 3 classes"):
        class_weights(LossConfig(class_weights=(1.0, 2.0)), pixels)
    with pytest.raises(InputError, match="0 or more"):
        class_weights(LossConfig(class_weights=(1.0, -2.0, 1.0)), pixels)
