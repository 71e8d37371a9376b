"""A wrong region lowers the score however large the frame; what is ignored never counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dashseg.review.scores import RAREST, drawn_probability, frame_score


def two_classes(drawn: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Probabilities (2, h, w) and a label of which all is class 0, its probability `drawn`.

    Pixels of which the model says class 1 weigh more: as the rarer class, up to 1 / RAREST.
    """
    drawn = drawn.astype(np.float32)
    return np.stack([drawn, 1 - drawn]), np.zeros(drawn.shape, np.uint8)


def score(drawn: NDArray[np.floating]) -> float:
    found = frame_score(*two_classes(drawn))
    assert found is not None
    return found


def test_where_all_classes_are_as_common_it_is_the_power_mean_of_the_surprise() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.uniform(0.51, 1, (20, 30))
    label = np.repeat(np.arange(2, dtype=np.uint8), 10)[:, None].repeat(30, 1)
    probabilities = np.where(label == np.arange(2)[:, None, None], drawn, 1 - drawn)
    # The same by another road: norm of order 6 over the pixels.
    norm = np.linalg.norm(np.log(1 / drawn).ravel(), 6) / drawn.size ** (1 / 6)
    found = frame_score(probabilities.astype(np.float32), label)
    assert found == pytest.approx(np.exp(-norm), rel=1e-5)


def test_pixels_weigh_by_the_rarer_of_the_class_drawn_and_the_class_seen() -> None:
    """A loop over the pixels of small frames of four classes."""
    rng = np.random.default_rng(3)
    for _ in range(5):
        probabilities = rng.dirichlet(np.full(4, 0.3), (9, 13)).transpose(2, 0, 1)
        label = rng.choice(5, (9, 13), p=(0.7, 0.2, 0.05, 0, 0.05)).astype(np.uint8)
        label[label == 4] = 255
        seen = probabilities.argmax(0)
        known = label != 255
        share = [
            max(RAREST, (label[known] == c).mean(), (seen[known] == c).mean()) for c in range(4)
        ]
        total = weight = 0.0
        for y, x in zip(*np.nonzero(known), strict=True):
            own = 1 / min(share[label[y, x]], share[seen[y, x]])
            weight += own
            total += own * np.log(1 / max(1e-4, probabilities[label[y, x], y, x])) ** 6
        expected = np.exp(-((total / weight) ** (1 / 6)))
        assert frame_score(probabilities.astype(np.float32), label) == pytest.approx(
            expected, rel=1e-4
        )


def test_it_lies_between_the_smallest_probability_and_the_largest() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        drawn = rng.uniform(0.01, 1, (15, 20))
        assert drawn.min() < score(drawn) < drawn.max()


def test_a_model_that_agrees_everywhere_scores_one() -> None:
    assert score(np.ones((40, 50))) == 1.0


@pytest.mark.parametrize("size", [(100, 100), (400, 400), (1600, 1600)])
def test_one_bad_region_lowers_it_however_large_the_frame(size: Any) -> None:
    drawn = np.full(size, 0.98)
    whole = score(drawn)
    drawn[:20, :20] = 0.001  # 400 pixels: 4 % of the smallest frame, 0.016 % of the largest
    assert whole > 0.97
    assert score(drawn) < 0.25
    assert abs(drawn.mean() - 0.98) < 0.05  # which a plain mean would hardly notice


def test_a_worse_region_scores_lower_and_so_does_a_larger_one() -> None:
    def with_region(side: int, probability: float) -> float:
        drawn = np.full((200, 200), 0.95)
        drawn[:side, :side] = probability
        return score(drawn)

    assert with_region(20, 0.3) > with_region(20, 0.1) > with_region(20, 0.01)
    assert with_region(5, 0.01) > with_region(20, 0.01) > with_region(80, 0.01)


def test_the_same_mistake_weighs_more_in_a_class_that_takes_less_of_the_frame() -> None:
    """A fifth of a class is drawn as background, which the model does not believe."""

    def forgotten(pixels: int) -> float:
        truth = np.zeros(10_000, np.uint8)
        truth[:pixels] = 1
        label = truth.copy()
        label[:400] = 0  # the same number of pixels in both
        probabilities = np.where(truth == np.arange(2)[:, None], 0.98, 0.02).astype(np.float32)
        found = frame_score(probabilities.reshape(2, 100, 100), label.reshape(100, 100))
        assert found is not None
        return found

    assert forgotten(500) < forgotten(2000) < forgotten(5000)


def test_no_pixel_decides_by_itself_however_sure_the_model_is() -> None:
    drawn = np.full((500, 1000), 0.98)
    drawn[0, 0] = 0.0
    assert score(drawn) > 0.1


def test_a_frame_without_labelled_pixels_has_no_score() -> None:
    probabilities, label = two_classes(np.ones((4, 5)))
    assert frame_score(probabilities, np.full_like(label, 255)) is None


def test_what_is_ignored_does_not_count() -> None:
    drawn = np.random.default_rng(4).uniform(0.3, 1, (20, 20))
    probabilities, label = two_classes(drawn)
    label[:10] = 255
    assert frame_score(probabilities, label) == pytest.approx(score(drawn[10:]))


def test_the_drawn_probability_is_that_of_the_class_drawn() -> None:
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet(np.ones(5), (6, 7)).astype(np.float32).transpose(2, 0, 1)
    label = rng.integers(0, 5, (6, 7), np.uint8)
    label[2, 3] = 255
    drawn = drawn_probability(probabilities, label)
    for row, column in np.ndindex(6, 7):
        if label[row, column] != 255:
            assert drawn[row, column] == probabilities[label[row, column], row, column]
