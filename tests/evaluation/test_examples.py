"""The best and worst frames of a stream."""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

import numpy as np
import pytest

from dashseg.evaluation.examples import Example, Extremes
from dashseg.evaluation.scoring import FrameScore, LossSum
from dashseg.images import encode_png


def score(loss: float, prediction: int = 0) -> FrameScore:
    return FrameScore(
        native=LossSum(loss * 10, 10),
        padded=None,
        square=LossSum(),
        confusion=np.zeros((2, 2), np.int64),
        prediction=np.full((3, 5), prediction, np.uint8),
    )


def offer(extremes: Extremes, index: int, found: FrameScore) -> None:
    extremes.offer(index, found, partial(encode_png, found.prediction, flat=True))


def extremes_of(losses, count: int) -> Extremes:
    extremes = Extremes(count)
    for index, loss in enumerate(losses):
        offer(extremes, index, score(float(loss), index % 7))
    return extremes


@pytest.mark.parametrize("count", [1, 3, 10])
def test_they_are_the_ends_of_the_sorted_list(count: int) -> None:
    losses = np.random.default_rng(0).permutation(50) / 50
    order = np.argsort(losses)
    extremes = extremes_of(losses, count)
    assert [e.index for e in extremes.best()] == list(order[:count])
    assert [e.index for e in extremes.worst()] == list(order[::-1][:count])


@pytest.mark.parametrize("frames", range(8))
def test_of_few_frames_none_is_both_best_and_worst(frames: Any) -> None:
    extremes = extremes_of(np.arange(frames), count=4)
    best = [e.index for e in extremes.best()]
    worst = [e.index for e in extremes.worst()]
    assert sorted(best + worst) == list(range(frames))
    assert abs(len(best) - len(worst)) <= 1


def test_among_equal_losses_the_first_frames_are_taken() -> None:
    extremes = extremes_of([0.5] * 9, count=2)
    assert [e.index for e in extremes.best()] == [0, 1]
    assert [e.index for e in extremes.worst()] == [0, 1]


def test_predictions_come_back_as_they_were() -> None:
    for example in extremes_of(range(20), count=3).worst():
        np.testing.assert_array_equal(example.prediction, np.full((3, 5), example.index % 7))


def test_no_more_is_kept_than_is_shown() -> None:
    extremes = extremes_of(np.random.default_rng(1).random(300), count=4)
    gc.collect()
    assert sum(type(thing) is Example for thing in gc.get_objects()) <= 8
    assert len(extremes.worst()) == 4


def test_frames_without_a_loss_and_a_count_of_zero_show_nothing() -> None:
    unlabelled = FrameScore(
        LossSum(), None, LossSum(), np.zeros((2, 2), int), np.zeros((3, 5), "u1")
    )
    extremes = Extremes(3)
    offer(extremes, 0, unlabelled)
    assert extremes.best() == extremes.worst() == []
    assert extremes_of(range(5), count=0).worst() == []
