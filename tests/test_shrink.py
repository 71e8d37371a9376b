"""Labels that shrink: against counting covered area pixel by pixel, and what survives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dashseg.config import DataConfig
from dashseg.data import open_dataset
from dashseg.images import resize_label
from dashseg.labels import IGNORE, Label
from dashseg.shrink import shrink_label


def covered(label: Label, size: tuple[int, int], row: int, column: int) -> dict[int, float]:
    """Id -> area of it below one new pixel, by cutting every old pixel by hand."""
    areas: dict[int, float] = {}
    (height, width), (rows, columns) = label.shape, size
    for y in range(height):
        down = min((row + 1) * height / rows, y + 1) - max(row * height / rows, y)
        for x in range(width) if down > 0 else ():
            across = min((column + 1) * width / columns, x + 1) - max(column * width / columns, x)
            if across > 0:
                areas[int(label[y, x])] = areas.get(int(label[y, x]), 0) + down * across
    return areas


@pytest.mark.parametrize("size", [(9, 12), (7, 9), (5, 11), (17, 23), (1, 1), (3, 24)])
@pytest.mark.parametrize("ids", [(0, 1, 2), (0, 1, 2, IGNORE)])
def test_the_most_covering_class_wins_unless_a_rarer_one_covers_nearly_as_much(
    size: tuple[int, int], ids: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(sum(size))
    shares = np.arange(1, len(ids) + 1) / np.arange(1, len(ids) + 1).sum()
    blocks = rng.choice(np.array(ids, np.uint8), (6, 9), p=shares)
    label = np.kron(blocks, np.ones((3, 3), np.uint8))[:18, :25]
    label[rng.random(label.shape) < 0.2] = 0
    frequency = {int(i): (i == IGNORE, int((label == i).sum())) for i in np.unique(label)}
    shrunk = shrink_label(label, size)
    assert shrunk.shape == size and shrunk.dtype == np.uint8
    for row in range(size[0]):
        for column in range(size[1]):
            areas = covered(label, size, row, column)
            most = max(areas.values())
            near = [i for i, area in areas.items() if area >= 0.45 * (area + most) - 1e-6]
            clear = [i for i, area in areas.items() if area >= 0.45 * (area + most) + 1e-6]
            rarest = min(near, key=lambda i: frequency[i])
            assert shrunk[row, column] == rarest or rarest not in clear


def test_a_label_of_one_class_stays_so() -> None:
    for value in (0, 3, IGNORE):
        assert (shrink_label(np.full((50, 70), value, np.uint8), (20, 30)) == value).all()


def test_half_a_pixel_of_lane_is_kept() -> None:
    """A marking one pixel wide, at half size: a tie that the lane wins, wherever it lies."""
    for column in (20, 21):
        label = np.zeros((40, 40), np.uint8)
        label[:, column] = 1
        assert (shrink_label(label, (20, 20))[:, 10] == 1).all()


def test_a_side_that_does_not_shrink_gets_the_nearest_pixel() -> None:
    label = np.random.default_rng(0).integers(0, 5, (20, 20), np.uint8)
    assert np.array_equal(shrink_label(label, (40, 10)), resize_label(label, (40, 10)))
    assert np.array_equal(shrink_label(label, (20, 20)), label)


def lane_iou(label: Label, other: Label) -> float:
    lane, seen = label == 1, other == 1
    return float((lane & seen).sum() / (lane | seen).sum())


@pytest.mark.parametrize("size", [(437, 582), (256, 256)])
def test_real_lane_markings_survive_better_than_by_nearest(
    shared_data: Path, size: tuple[int, int]
) -> None:
    frames = open_dataset(DataConfig(root=str(shared_data / "comma10k_sample")))
    gains = []
    for label in (frames.label(index) for index in range(len(frames))):
        if (label == 1).any():
            back = resize_label(shrink_label(label, size), (874, 1164))
            nearest = resize_label(resize_label(label, size), (874, 1164))
            gains.append(lane_iou(label, back) - lane_iou(label, nearest))
    assert len(gains) == 7 and min(gains) > 0
