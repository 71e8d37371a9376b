"""Calibration frames: of the training side, over all drives, and as dark as bright."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from dashseg.config import DataConfig
from dashseg.curate.brightness import brightness_group, luminance
from dashseg.errors import InputError
from dashseg.inference.calibration import Frames, calibration_frames


def grey(level: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    return np.full((4, 4, 3), level, np.uint8)


def test_night_and_day_give_as_many_frames_each() -> None:
    levels = [20] * 30 + [90] * 270  # a tenth is dark
    chosen = Frames(lambda index: grey(levels[index]), len(levels)).stratified(40)
    groups = [brightness_group(luminance(chosen[index])) for index in range(len(chosen))]
    assert (len(chosen), groups.count("dark"), groups.count("bright")) == (40, 12, 28)
    plenty = Frames(lambda index: grey(levels[index % 60]), 3000).stratified(40)
    groups = [brightness_group(luminance(plenty[index])) for index in range(len(plenty))]
    assert groups.count("dark") == groups.count("bright") == 20


def test_every_drive_gives_its_share() -> None:
    """A pixel tells the drive; brightness is the same everywhere."""
    frames = Frames(lambda index: grey(60 + index // 100), 1000)
    chosen = frames.stratified(50)
    drives = [int(chosen[index][0, 0, 0]) for index in range(len(chosen))]
    assert drives == sorted(drives)
    assert {drives.count(60 + drive) for drive in range(10)} == {5}


def test_fewer_frames_than_asked_for_are_all_taken() -> None:
    assert len(Frames(lambda _: grey(0), 3).stratified(10)) == 3


def test_held_out_frames_are_left_out(
    write_comma10k: Callable[..., object], tmp_path: Path
) -> None:
    names = [f"{index:04d}_0123456789abcdef_2020-01-01--00-00-00_1_{index}" for index in range(20)]
    write_comma10k(tmp_path, names)
    frames = calibration_frames(DataConfig(root=str(tmp_path)), 100)
    assert len(frames) == 18  # two of twenty names end in 9


def test_a_folder_of_images_needs_no_masks(tmp_path: Path) -> None:
    for number in range(5):
        PIL.Image.fromarray(grey(10 * number)).save(tmp_path / f"{number}.png")
    frames = calibration_frames(DataConfig(root=str(tmp_path)), 3)
    assert len(frames) == 3 and frames[0].shape == (4, 4, 3)


def test_data_of_other_classes_calibrates_for_its_labels_are_not_read(
    write_folder: Callable[..., object], tmp_path: Path
) -> None:
    palette = "classes: {red: '#ff0000', green: '#00ff00', blue: '#0000ff'}\nmasks: id\n"
    write_folder(tmp_path, [f"frame{number}" for number in range(20)], palette, None)
    assert len(calibration_frames(DataConfig(root=str(tmp_path)), 3)) == 3


@pytest.mark.parametrize("name", ["missing", "empty", "text.txt"])
def test_what_holds_no_images_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("no frame")
    with pytest.raises(InputError, match=name):
        calibration_frames(DataConfig(root=str(tmp_path / name)), 3)
