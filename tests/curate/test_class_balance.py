"""Class weights against what was published and what can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dashseg.curate.class_balance import count_pixels, enet_weights, median_frequency_weights

# What the original published for comma10k: road, lane markings, undrivable, movable, my car.
PUBLISHED_ENET = np.array([3.23, 35.4, 3.03, 33.5, 3.96])


def test_enet_weights_are_the_five_published_ones() -> None:
    shares = np.exp(1 / PUBLISHED_ENET) - 1.02  # what the pixels must have been
    assert shares.sum() == pytest.approx(1, abs=2e-3)  # they are shares of one whole
    counts = np.round(shares / shares.sum() * 1e9).astype(np.int64)
    assert enet_weights(counts) == pytest.approx(PUBLISHED_ENET, rel=5e-3)


def test_median_frequency_counts_only_frames_that_show_the_class() -> None:
    labels = [
        np.array([[0, 0, 1, 1]], np.uint8),  # class 2 is not in this frame
        np.array([[0, 0, 0, 2]], np.uint8),
        np.array([[0, 0, 255, 255]], np.uint8),
    ]
    pixels = count_pixels(labels, 4)
    assert pixels.counts.tolist() == [7, 2, 1, 0]
    assert pixels.present.tolist() == [10, 4, 4, 0]
    assert pixels.frames.tolist() == [3, 1, 1, 0]
    # Frequencies 0.7, 0.5, 0.25: the median is 0.5.
    assert median_frequency_weights(pixels.counts, pixels.present) == pytest.approx(
        [0.5 / 0.7, 1, 2, 0]
    )
