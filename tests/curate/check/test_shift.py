"""Masks that were moved, planted in drawn scenes and in real frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dashseg.config import DataConfig
from dashseg.curate.check.shift import find_shift
from dashseg.data import Sample, open_dataset
from dashseg.labels import Label
from dashseg.scenes import render_scene

MOVES = [(16, 0), (0, -16), (-12, 11), (32, 0), (22, -23)]  # down, right; pixels of 1164


@pytest.fixture(scope="module")
def scenes() -> list[Sample]:
    drawn = (render_scene(5, index, (437, 582)) for index in range(5))
    return [Sample(scene.image, scene.label, scene.name) for scene in drawn]


def move(label: Label, dy: int, dx: int) -> Label:
    """Move a label down and to the right; what comes in repeats the rim."""
    rows = np.arange(label.shape[0]).clip(max(0, dy), label.shape[0] - 1 + min(0, dy)) - dy
    columns = np.arange(label.shape[1]).clip(max(0, dx), label.shape[1] - 1 + min(0, dx)) - dx
    return np.ascontiguousarray(label[np.ix_(rows, columns)])


def test_masks_as_they_were_drawn_are_not_suspected(scenes: list[Sample]) -> None:
    assert [find_shift(scene.image, scene.label) for scene in scenes] == [None] * len(scenes)


@pytest.mark.parametrize(("dy", "dx"), [(8, 0), (0, -8), (-6, 6), (16, 0), (11, -12)])
def test_a_moved_mask_is_found_with_the_move_that_undoes_it(
    scenes: list[Sample], dy: int, dx: int
) -> None:
    found = [find_shift(scene.image, move(scene.label, dy, dx)) for scene in scenes]
    hits = [shift for shift in found if shift is not None]
    assert len(hits) >= len(scenes) - 1
    for shift in hits:
        assert abs(shift.dy + dy) <= 2 and abs(shift.dx + dx) <= 2


def test_ignored_regions_have_no_edges(scenes: list[Sample]) -> None:
    """A hole of ignored pixels in the wrong place is no reason to move the mask."""
    label = scenes[0].label.copy()
    label[100:300, 50:250] = 255
    label[200:400, 300:500] = 255
    assert find_shift(scenes[0].image, label) is None


@pytest.mark.parametrize("value", [0, 2, 255])
def test_a_mask_without_edges_is_not_suspected(scenes: list[Sample], value: int) -> None:
    assert find_shift(scenes[0].image, np.full((437, 582), value, np.uint8)) is None


def test_a_frame_without_edges_says_nothing_of_its_mask(scenes: list[Sample]) -> None:
    assert find_shift(np.full((437, 582, 3), 90, np.uint8), scenes[0].label) is None


@pytest.mark.parametrize("size", [(40, 56), (1, 1), (3, 900), (900, 3), (201, 201)])
def test_sizes_that_no_camera_has_are_taken(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    find_shift(rng.integers(0, 256, (*size, 3), np.uint8), rng.integers(0, 5, size, np.uint8))


def test_real_masks_are_found_when_moved_and_only_then(shared_data: Path) -> None:
    frames = open_dataset(DataConfig(root=str(shared_data / "comma10k_sample")))
    missed = 0
    for image, label, name in frames:
        assert find_shift(image, label) is None, name
        for dy, dx in MOVES:
            shift = find_shift(image, move(label, dy, dx))
            missed += shift is None
            if shift is not None:
                assert np.hypot(shift.dy + dy, shift.dx + dx) < 5, (name, shift)
    assert missed <= 1


@pytest.mark.parametrize(
    ("kept", "found"),
    [((), 0.99), (("road",), 0.85), (("sky", "road"), 0.95), (("building",), 0.85)],
)
def test_the_threshold_does_not_depend_on_the_classes(
    shared_data: Path, kept: tuple[str, ...], found: float
) -> None:
    """CamVid's masks, whole and with all classes but a few merged, as drawn and moved by 2 %."""
    frames = open_dataset(DataConfig(root=str(shared_data / "camvid_360x480")), "val")
    names = frames.classes.names
    table = np.arange(256, dtype=np.uint8)
    if kept:
        table[: len(names)] = len(kept)
        table[[names.index(name) for name in kept]] = np.arange(len(kept))
    suspected = right = count = 0
    for index in range(0, len(frames), 3):
        image, label, _ = frames[index]
        label, count = table[label], count + 1
        suspected += find_shift(image, label) is not None
        dy, dx = [(10, 0), (0, 10), (-7, 7), (7, 7)][index % 4]
        shift = find_shift(image, move(label, dy, dx))
        right += shift is not None and np.hypot(shift.dy + dy, shift.dx + dx) < 5
    assert suspected <= 0.03 * count and right >= found * count, (suspected, right, count)
