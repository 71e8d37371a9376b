"""What is counted of one frame, against loops over its pixels."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from dashseg.curate.stats.count import GRID, LUMA_BINS, Totals, count_frame
from dashseg.data import Sample
from dashseg.errors import InputError


def sample(label: np.ndarray, luma: int = 100, name: str = "frame") -> Sample:
    return Sample(np.full((*label.shape, 3), luma, np.uint8), label, name)


def random_label(height: int, width: int, classes: int = 3) -> np.ndarray:
    rng = np.random.default_rng([height, width])
    label = rng.integers(0, classes, (height, width), np.uint8)
    label[: height // 2, : width // 2] = 0  # not only noise
    label[rng.random(label.shape) < 0.1] = 255
    return label


def test_pixels_are_numpys_and_ignored_ones_count_for_no_class() -> None:
    label = random_label(151, 203)
    counted = count_frame(sample(label), 4)
    assert counted.pixels.tolist() == [int((label == c).sum()) for c in range(4)]
    assert counted.pixels.sum() == (label != 255).sum() < label.size
    assert counted.size == (151, 203)


@pytest.mark.parametrize("size", [(72, 96), (151, 203), (145, 97), (290, 480)])
def test_a_cell_is_the_mean_over_the_pixels_whose_centre_it_holds(size: Any) -> None:
    height, width = size
    label = random_label(height, width)
    covered, held = np.zeros((*GRID, 3)), np.zeros(GRID)
    for y in range(height):
        for x in range(width):
            cell = int((y + 0.5) / height * GRID[0]), int((x + 0.5) / width * GRID[1])
            held[cell] += 1
            if label[y, x] != 255:
                covered[(*cell, label[y, x])] += 1
    assert held.min() > 0
    naive = covered / held[..., None]
    assert count_frame(sample(label), 3).cover == pytest.approx(naive, abs=1e-6)


def test_a_frame_smaller_than_the_grid_fills_it_from_the_nearest_pixels() -> None:
    label = np.zeros((6, 8), np.uint8)
    label[:, 4:], label[3:] = 1, 255
    cover = count_frame(sample(label), 2).cover
    assert cover.shape == (*GRID, 2)
    truth = np.kron(label, np.ones((12, 12), np.uint8))
    for class_id in (0, 1):
        assert (cover[..., class_id] == (truth == class_id)).all()
    assert count_frame(sample(label), 2).pixels.tolist() == [12, 12]


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (73, 95)])
def test_no_size_leaves_a_cell_empty(size: Any) -> None:
    cover = count_frame(sample(np.ones(size, np.uint8)), 2).cover
    assert (cover[..., 1] == 1).all() and not cover[..., 0].any()


def test_an_id_without_a_class_is_an_error_that_names_the_frame() -> None:
    label = np.array([[0, 2, 255]], np.uint8)
    with pytest.raises(InputError, match=r"a_frame: label id 2 .* 2"):
        count_frame(sample(label, name="a_frame"), 2)


def test_frames_are_binned_by_their_luma_from_black_to_white() -> None:
    totals, label = Totals(1), np.zeros((4, 4), np.uint8)
    for luma in (0, 3, 4, 40, 255):
        totals.add(count_frame(sample(label, luma), 1))
    bins = {int(low): int(totals.luma_bins[low]) for low in totals.luma_bins.nonzero()[0]}
    assert bins == {0: 2, 1: 1, 10: 1, LUMA_BINS - 1: 1}
    assert totals.groups == {"dark": 4, "dim": 0, "bright": 1}


def test_sums_survive_json_to_the_last_bit() -> None:
    totals = Totals(3)
    for height in (100, 101, 33):
        totals.add(count_frame(sample(random_label(height, 150), height), 3))
    again = Totals.from_json(json.loads(json.dumps(totals.to_json())), 3)
    assert (again.cover == totals.cover).all()
    assert again.to_json() == totals.to_json()
    assert again.sizes == {(100, 150): 1, (101, 150): 1, (33, 150): 1}
