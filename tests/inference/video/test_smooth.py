"""Smoothing over time, and the measure of flicker, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dashseg.errors import InputError
from dashseg.inference.video.smooth import Flicker, Smoother

STILL = np.full((32, 48, 3), 90, np.uint8)


def _logits(seed: int) -> torch.Tensor:
    return torch.randn(4, 8, 12, generator=torch.Generator().manual_seed(seed))


def test_where_nothing_moves_probabilities_are_averaged() -> None:
    smoother = Smoother(0.75)
    first, second = _logits(0), _logits(1)
    smoother(first, STILL)
    got = smoother(second, STILL).softmax(0)
    expected = 0.75 * first.softmax(0) + 0.25 * second.softmax(0)
    torch.testing.assert_close(got, expected)


def test_where_the_picture_changes_the_past_is_forgotten() -> None:
    smoother = Smoother(0.9)
    changed = STILL.copy()
    changed[:, 24:] = 200
    smoother(_logits(0), STILL)
    got = smoother(_logits(1), changed).softmax(0)
    torch.testing.assert_close(got[:, :, 11], _logits(1).softmax(0)[:, :, 11])
    assert not torch.allclose(got[:, :, 0], _logits(1).softmax(0)[:, :, 0], atol=0.01)


def test_strength_0_changes_nothing() -> None:
    smoother = Smoother(0)
    smoother(_logits(0), STILL)
    torch.testing.assert_close(smoother(_logits(1), STILL).softmax(0), _logits(1).softmax(0))


def test_frames_of_another_size_start_anew() -> None:
    smoother = Smoother(0.9)
    smoother(torch.randn(4, 5, 6), STILL)
    torch.testing.assert_close(smoother(_logits(1), STILL).softmax(0), _logits(1).softmax(0))


@pytest.mark.parametrize("strength", [-0.1, 1.0, 2.0])
def test_a_strength_outside_0_to_1_is_an_error(strength: float) -> None:
    with pytest.raises(InputError, match="--smooth"):
        Smoother(strength)


def test_flicker_is_the_share_of_still_pixels_that_change_class() -> None:
    flicker = Flicker()
    label = np.zeros((32, 48), np.uint8)
    other = label.copy()
    other[:, :12] = 1  # a quarter changes class,
    flicker.add(label, STILL)
    assert flicker.share is None
    flicker.add(other, STILL)
    assert flicker.share == pytest.approx(0.25)
    flicker.add(other, STILL)  # and stays that way
    assert flicker.share == pytest.approx(0.125)


def test_what_moves_may_change_class() -> None:
    flicker = Flicker()
    flicker.add(np.zeros((32, 48), np.uint8), STILL)
    flicker.add(np.ones((32, 48), np.uint8), STILL + 60)
    assert flicker.share is None
