"""One bad region lowers the score however large the frame; what is ignored never counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dashseg.review.scores import drawn_probability, frame_score


def test_the_score_is_the_power_mean_of_the_surprise() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.uniform(1e-3, 1, 500)
    # The same by another road: norm of order 6 over the pixels.
    norm = np.linalg.norm(np.log(1 / drawn), 6) / len(drawn) ** (1 / 6)
    assert frame_score(drawn.astype(np.float32)) == pytest.approx(np.exp(-norm), rel=1e-5)


def test_it_lies_between_the_smallest_probability_and_the_geometric_mean() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        drawn = rng.uniform(0.01, 1, 300).astype(np.float32)
        score = frame_score(drawn)
        assert score is not None
        assert drawn.min() < score < np.exp(np.log(drawn).mean())


def test_a_model_that_agrees_everywhere_scores_one() -> None:
    assert frame_score(np.ones((40, 50), np.float32)) == 1.0


@pytest.mark.parametrize("size", [(100, 100), (400, 400), (1600, 1600)])
def test_one_bad_region_lowers_it_however_large_the_frame(size) -> None:
    drawn = np.full(size, 0.98, np.float32)
    whole = frame_score(drawn)
    drawn[:20, :20] = 0.001  # 400 pixels: 4 % of the smallest frame, 0.016 % of the largest
    bad = frame_score(drawn)
    assert whole is not None and bad is not None
    assert whole > 0.97
    assert bad < 0.25
    assert abs(drawn.mean() - 0.98) < 0.05  # which a plain mean would hardly notice


def test_a_worse_region_scores_lower_and_so_does_a_larger_one() -> None:
    def score(side: int, probability: float) -> float:
        drawn = np.full((200, 200), 0.95, np.float32)
        drawn[:side, :side] = probability
        found = frame_score(drawn)
        assert found is not None
        return found

    assert score(20, 0.3) > score(20, 0.1) > score(20, 0.01)
    assert score(5, 0.01) > score(20, 0.01) > score(80, 0.01)


def test_no_pixel_decides_by_itself_however_sure_the_model_is() -> None:
    drawn = np.full(500_000, 0.98, np.float32)
    drawn[0] = 0.0
    score = frame_score(drawn)
    assert score is not None and score > 0.3


def test_a_frame_without_labelled_pixels_has_no_score() -> None:
    assert frame_score(np.empty(0, np.float32)) is None


def test_the_drawn_probability_is_that_of_the_class_drawn() -> None:
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet(np.ones(5), (6, 7)).astype(np.float32)  # (6, 7, 5)
    label = rng.integers(0, 5, (6, 7), np.uint8)
    label[2, 3] = 255
    drawn = drawn_probability(
        torch.from_numpy(probabilities).permute(2, 0, 1), torch.from_numpy(label)
    ).numpy()
    for row, column in np.ndindex(6, 7):
        if label[row, column] != 255:
            assert drawn[row, column] == probabilities[row, column, label[row, column]]
