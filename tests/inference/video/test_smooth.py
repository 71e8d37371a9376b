"""Smoothing over time, and the measure of flicker, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from dashseg.errors import InputError
from dashseg.inference.video.smooth import Flicker, Smoother, small_grey

STILL = np.full((32, 48), 90, np.float32)  # four times the size of the logits


def _logits(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(4, 8, 12)).astype(np.float32)


def _probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return softmax(logits, axis=0)


def test_where_nothing_moves_probabilities_are_averaged() -> None:
    smoother = Smoother(0.75)
    first, second = _logits(0), _logits(1)
    smoother(first, STILL)
    got = _probabilities(smoother(second, STILL))
    expected = 0.75 * _probabilities(first) + 0.25 * _probabilities(second)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_where_the_picture_changes_the_past_is_forgotten() -> None:
    smoother = Smoother(0.9)
    changed = STILL.copy()
    changed[:, 24:] = 200
    smoother(_logits(0), STILL)
    got = _probabilities(smoother(_logits(1), changed))
    np.testing.assert_allclose(got[:, :, 11], _probabilities(_logits(1))[:, :, 11], rtol=1e-5)
    assert not np.allclose(got[:, :, 0], _probabilities(_logits(1))[:, :, 0], atol=0.01)


def test_strength_0_changes_nothing() -> None:
    smoother = Smoother(0)
    smoother(_logits(0), STILL)
    np.testing.assert_allclose(
        _probabilities(smoother(_logits(1), STILL)), _probabilities(_logits(1)), rtol=1e-5
    )


def test_a_frame_comes_to_the_working_size_in_grey_and_without_its_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 8, (128, 192, 3))
    frame = np.full((128, 192, 3), (200, 100, 50)) + noise
    grey = small_grey(frame.clip(0, 255).astype(np.uint8), (32, 48))
    assert grey.shape == (32, 48) and grey.dtype == np.float32
    # ITU-R BT.601, as cameras weigh colours.
    assert grey == pytest.approx(0.299 * 200 + 0.587 * 100 + 0.114 * 50, abs=2)


def test_frames_of_another_size_start_anew() -> None:
    smoother = Smoother(0.9)
    smoother(np.zeros((4, 5, 6), np.float32), STILL)
    np.testing.assert_allclose(
        _probabilities(smoother(_logits(1), STILL)), _probabilities(_logits(1)), rtol=1e-5
    )


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
