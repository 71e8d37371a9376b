"""The Poisson bootstrap, against an ordinary one that keeps every frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dashseg.evaluation.bootstrap import Bootstrap
from dashseg.evaluation.scoring import LossSum

CLASSES = 3
RESAMPLES = 2000


@pytest.fixture
def frames() -> list[tuple[LossSum, NDArray[np.int64]]]:
    """Skewed losses, frames of different sizes, a class that only some of them show."""
    rng = np.random.default_rng(5)
    frames = []
    for _ in range(80):
        pixels = int(rng.integers(500, 1500))
        share = rng.dirichlet([8, 4, 0.3])
        confusion = np.stack(
            [rng.multinomial(int(pixels * s), rng.dirichlet([1, 1, 1])) for s in share]
        )
        frames.append((LossSum(pixels * float(rng.gamma(2, 0.02)), pixels), confusion))
    return frames


def run(frames, seed: int = 0, resamples: int = RESAMPLES) -> Bootstrap:
    bootstrap = Bootstrap(CLASSES, resamples, seed)
    for index, (loss, confusion) in enumerate(frames):
        bootstrap.update(index, loss, confusion)
    return bootstrap


def ordinary(frames, statistic) -> NDArray[np.float64]:
    """Ends of the interval from frames drawn with replacement."""
    rng = np.random.default_rng(11)
    draws = rng.integers(0, len(frames), (RESAMPLES, len(frames)))
    return np.percentile([statistic([frames[i] for i in draw]) for draw in draws], [2.5, 97.5])


def cross_entropy(frames) -> float:
    return sum(loss.total for loss, _ in frames) / sum(loss.pixels for loss, _ in frames)


def miou(frames) -> float:
    total = np.sum([confusion for _, confusion in frames], axis=0)
    ious = [
        total[i, i] / (total[i].sum() + total[:, i].sum() - total[i, i])
        for i in range(CLASSES)
        if total[i].sum()
    ]
    return float(np.mean(ious))


@pytest.mark.parametrize(
    ("method", "statistic"), [("cross_entropy", cross_entropy), ("mean_iou", miou)]
)
def test_intervals_are_those_of_an_ordinary_bootstrap(
    frames: list[tuple[LossSum, NDArray[np.int64]]], method: str, statistic: Any
) -> None:
    interval = getattr(run(frames), method)()
    expected = ordinary(frames, statistic)
    # The ends of 2000 resamples themselves vary by some 3 % of the width.
    np.testing.assert_allclose(interval, expected, atol=0.12 * np.ptp(expected))
    assert interval[0] < statistic(frames) < interval[1]


def test_the_same_seed_gives_the_same_interval_and_another_one_another(
    frames: list[tuple[LossSum, NDArray[np.int64]]],
) -> None:
    assert run(frames, seed=1).cross_entropy() == run(frames, seed=1).cross_entropy()
    assert run(frames, seed=1).cross_entropy() != run(frames, seed=2).cross_entropy()


def test_equal_frames_have_an_interval_without_width(
    frames: list[tuple[LossSum, NDArray[np.int64]]],
) -> None:
    low, high = run([frames[0]] * 9).cross_entropy() or (0, 1)
    assert low == pytest.approx(high) == pytest.approx(frames[0][0].mean)


def test_resamples_that_drew_no_frame_are_left_out(
    frames: list[tuple[LossSum, NDArray[np.int64]]],
) -> None:
    low, high = run(frames[:2]).cross_entropy() or (0, 0)  # one in e² of these is empty
    means = sorted(loss.mean or 0 for loss, _ in frames[:2])
    assert means[0] <= low <= high <= means[1]


def test_fewer_than_two_frames_or_no_resamples_have_no_interval(
    frames: list[tuple[LossSum, NDArray[np.int64]]],
) -> None:
    for bootstrap in (run([]), run(frames[:1]), run(frames, resamples=0)):
        assert bootstrap.cross_entropy() is None
        assert bootstrap.mean_iou() is None


def test_the_resamples_of_two_models_are_pairs(
    frames: list[tuple[LossSum, NDArray[np.int64]]],
) -> None:
    """Against frames drawn once for both: by far narrower than what two draws would give."""
    rng = np.random.default_rng(3)
    worse = []
    for loss, confusion in frames:
        wrong = rng.binomial(confusion, 0.05)
        worse.append((loss, confusion - wrong + np.roll(wrong, 1, axis=1)))
    difference = run(frames).mean_ious() - run(worse).mean_ious()
    pairs = [(*one, other[1]) for one, other in zip(frames, worse, strict=True)]
    expected = ordinary(
        pairs,
        lambda drawn: (
            miou([(loss, first) for loss, first, _ in drawn])
            - miou([(loss, second) for loss, _, second in drawn])
        ),
    )
    ends = np.percentile(difference, [2.5, 97.5])
    np.testing.assert_allclose(ends, expected, atol=0.12 * np.ptp(expected))
    apart = np.ptp(np.percentile(run(frames).mean_ious() - run(worse, 1).mean_ious(), [2.5, 97.5]))
    assert np.ptp(ends) < 0.5 * apart
