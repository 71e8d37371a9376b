"""Where the model is sure of another class: the parts that scipy finds, at the frame's own size."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from dashseg.review.regions import MOST, SMALLEST, Box, Found, find_regions


def certain(seen: NDArray[np.uint8], sure: float = 0.9) -> NDArray[np.float32]:
    """Probabilities (5, h, w) of a model that gives `sure` to the class seen."""
    rest = (1 - sure) / 4
    return (np.eye(5)[seen] * (sure - rest) + rest).transpose(2, 0, 1).astype(np.float32)


def find(seen: NDArray[np.uint8], label: NDArray[np.uint8], sure: float = 0.9) -> Found:
    """At a working size that is the frame's own."""
    return find_regions(certain(seen, sure), label, seen, label)


def test_regions_are_the_connected_parts_that_scipy_finds() -> None:
    rng = np.random.default_rng(0)
    seen = np.kron(rng.integers(0, 3, (5, 6), np.uint8), np.ones((8, 8), np.uint8))
    label = np.kron(rng.integers(0, 3, (5, 6), np.uint8), np.ones((8, 8), np.uint8))
    expected = set()
    for drawn, other in np.ndindex(3, 3):
        if drawn != other:
            parts, _ = ndimage.label((label == drawn) & (seen == other), np.ones((3, 3)))
            for rows, columns in ndimage.find_objects(parts):
                number = parts[rows, columns].max()
                box = Box(columns.start, rows.start, columns.stop, rows.stop)
                expected.add((drawn, other, int((parts == number).sum()), box))
    found = find(seen, label)
    assert 3 < len(expected) <= MOST
    assert {(r.drawn, r.seen, r.area, r.box) for r in found.regions} == expected


def test_the_region_that_weighs_most_comes_first_and_numbers_say_where_each_is() -> None:
    label = np.zeros((40, 60), np.uint8)
    seen = label.copy()
    seen[2:6, 2:6], seen[10:30, 10:40] = 3, 1
    found = find(seen, label)
    assert [(r.number, r.seen, r.area) for r in found.regions] == [(1, 1, 600), (2, 3, 16)]
    assert np.array_equal(found.numbers == 1, seen == 1)
    assert np.array_equal(found.numbers == 2, seen == 3)


def test_confidence_and_score_are_means_over_the_region() -> None:
    label = np.zeros((20, 20), np.uint8)
    seen = label.copy()
    seen[5:10, 5:10] = 2
    (region,) = find(seen, label, sure=0.8).regions
    assert region.confidence == pytest.approx(0.8)
    assert region.score == pytest.approx(0.05)


def test_boxes_and_areas_are_at_the_frame_s_own_size() -> None:
    label = np.zeros((180, 240), np.uint8)
    prediction = label.copy()
    prediction[31:92, 50:133] = 3  # on no edge of the working size's pixels
    small = prediction[1::3, 1::3]
    found = find_regions(certain(small), np.zeros_like(small), prediction, label)
    (region,) = found.regions
    assert region.box == Box(50, 31, 133, 92)
    assert region.area == 61 * 83


def test_what_is_ignored_is_in_no_region() -> None:
    label = np.zeros((30, 30), np.uint8)
    seen = label.copy()
    seen[5:20, 5:20] = 3
    label[5:20, 5:12] = 255
    (region,) = find(seen, label).regions
    assert region.box == Box(12, 5, 20, 20)
    label[5:20, 5:20] = 255
    assert find(seen, label).regions == ()


def test_a_model_that_is_not_sure_finds_nothing() -> None:
    label = np.zeros((30, 30), np.uint8)
    seen = np.full_like(label, 2)
    assert find(seen, label, sure=0.49).regions == ()
    assert len(find(seen, label, sure=0.51).regions) == 1


def test_specks_are_left_out_and_of_many_regions_the_heaviest_kept() -> None:
    label = np.zeros((400, 400), np.uint8)
    seen = label.copy()
    least = round(SMALLEST * label.size)  # 16 pixels
    seen[0, : least - 1] = 3
    assert find(seen, label).regions == ()
    seen[0, :least] = 3
    assert len(find(seen, label).regions) == 1
    for n in range(2 * MOST):
        seen[10 + 10 * n : 16 + 10 * n, 0 : 10 + n] = 3
    found = find(seen, label)
    assert [region.area for region in found.regions] == sorted(
        (6 * (10 + n) for n in range(MOST, 2 * MOST)), reverse=True
    )
