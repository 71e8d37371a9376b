"""Anyone's frames: images/ + masks/ + palette.yaml, with sub-folders, a split and clear errors."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from dashseg.config import DataConfig
from dashseg.data import open_dataset
from dashseg.data.folder import read_palette
from dashseg.errors import InputError

Write = Callable[..., dict[str, np.ndarray]]

COLOURS = ("#101112", "#00ff66", "#ffffff")
PALETTE = """\
classes:
  road: "#101112"
  car: [0, 255, 102]
ignore: ["#ffffff"]
"""
IDS = """\
classes: {road: "#101112", car: "#00ff66"}
masks: id
ignore: [2]
"""


def names(root: Path, split: str = "all") -> list[str]:
    return list(open_dataset(DataConfig(root=str(root)), split).names)


def test_masks_in_ones_own_colours_are_read(tmp_path: Path, write_folder: Write) -> None:
    painted = write_folder(tmp_path, ["a", "b"], PALETTE, COLOURS)
    dataset = open_dataset(DataConfig(root=str(tmp_path)))
    assert dataset.kind == "folder"
    assert dataset.classes.names == ("road", "car")
    assert dataset.classes.colours == ((16, 17, 18), (0, 255, 102))
    for sample in dataset:
        expected = np.array([0, 1, 255], np.uint8)[painted[sample.name]]
        assert 255 in expected
        assert np.array_equal(sample.label, expected)


def test_masks_that_hold_ids_are_read(tmp_path: Path, write_folder: Write) -> None:
    stored = write_folder(tmp_path, ["a"], IDS, None)["a"]
    label = open_dataset(DataConfig(root=str(tmp_path)))[0].label
    assert {*np.unique(stored)} == {0, 1, 2}
    assert np.array_equal(label, np.where(stored == 2, 255, stored))


def test_a_colour_that_the_palette_lacks_is_an_error(tmp_path: Path, write_folder: Write) -> None:
    write_folder(tmp_path, ["a"], PALETTE.replace("ffffff", "fffffe"), COLOURS)
    with pytest.raises(InputError, match=r"masks/a\.png: colour #ffffff \(\d+ pixels\) is not in"):
        open_dataset(DataConfig(root=str(tmp_path)))[0]


@pytest.mark.parametrize("stored_as", ["colour", "id"])
def test_ignore_wins_over_a_class(tmp_path: Path, stored_as: str) -> None:
    ignored = '"#000000"' if stored_as == "colour" else "0"
    (tmp_path / "palette.yaml").write_text(
        f'classes: {{unlabelled: "#000000", road: "#010101"}}\n'
        f"masks: {stored_as}\nignore: [{ignored}]\n"
    )
    for folder, pixels in (
        ("images", np.zeros((32, 40, 3), np.uint8)),
        ("masks", np.eye(32, 40, dtype=np.uint8)),
    ):
        if folder == "masks" and stored_as == "colour":
            pixels = np.stack([pixels] * 3, -1)
        (tmp_path / folder).mkdir()
        PIL.Image.fromarray(pixels).save(tmp_path / folder / "a.png")
    label = open_dataset(DataConfig(root=str(tmp_path))).label(0)
    assert np.array_equal(label, np.where(np.eye(32, 40), 1, 255))


def test_subfolders_are_part_of_the_name(tmp_path: Path, write_folder: Write) -> None:
    write_folder(tmp_path, ["city/rain/1", "city/1", "1"], PALETTE, COLOURS)
    assert names(tmp_path) == ["1", "city/1", "city/rain/1"]


def test_split_folders_are_the_split(tmp_path: Path, write_folder: Write) -> None:
    write_folder(tmp_path, ["train/a", "train/b", "val/a"], PALETTE, COLOURS)
    assert names(tmp_path, "train") == ["train/a", "train/b"]
    assert names(tmp_path, "val") == ["val/a"]


def test_else_one_frame_in_ten_is_held_out_by_its_name(tmp_path: Path, write_folder: Write) -> None:
    frames = [f"{i:03}" for i in range(60)]
    write_folder(tmp_path, frames, PALETTE, COLOURS)
    held_out = names(tmp_path, "val")
    assert held_out == [name for name in frames if zlib.crc32(name.encode()) % 10 == 0]
    assert 2 <= len(held_out) <= 12
    assert sorted([*names(tmp_path, "train"), *held_out]) == frames


def test_a_new_frame_moves_no_other_to_the_other_side(tmp_path: Path, write_folder: Write) -> None:
    write_folder(tmp_path, [f"{i:03}" for i in range(30)], PALETTE, COLOURS)
    before = names(tmp_path, "val")
    write_folder(tmp_path, ["000a", "zzz"], PALETTE, COLOURS)
    assert {*before} <= {*names(tmp_path, "val")} <= {*before, "000a", "zzz"}


def test_two_images_of_one_name_are_an_error_that_names_both(
    tmp_path: Path, write_folder: Write
) -> None:
    write_folder(tmp_path, ["a"], PALETTE, COLOURS)
    (tmp_path / "images" / "a.png").write_bytes((tmp_path / "images" / "a.jpg").read_bytes())
    with pytest.raises(InputError, match=r"images/a\.jpg and .*images/a\.png have the same name"):
        names(tmp_path)


def test_a_missing_masks_folder_is_an_error(tmp_path: Path, write_folder: Write) -> None:
    write_folder(tmp_path, ["a"], PALETTE, COLOURS)
    (tmp_path / "masks").rename(tmp_path / "labels")
    with pytest.raises(InputError, match=r"masks: no such folder; .* images/ and masks/"):
        names(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a mapping 'classes' of names to colours"),
        ("classes: [road, car]", "expected a mapping 'classes' of names to colours"),
        ("classes: {", "not valid YAML"),
        ('classes: {road: "#10111"}', "'#10111' is not a colour; write"),
        ("classes: {road: red}", "'red' is not a colour; write"),
        ("classes: {road: [0, 0, 256]}", r"\[0, 0, 256\] is not a colour; write"),
        ("classes: {road: }", "None is not a colour; write"),
        ("classes: {a: [1, 1, 1], b: [1, 1, 1]}", "two classes share a colour"),
        ("classes: {a: [1, 1, 1]}\nmask: id", "unknown key 'mask'; known: classes, ignore, masks"),
        ("classes: {a: [1, 1, 1]}\nmasks: ids", "masks is 'ids'; it can be colour or id"),
        ("classes: {a: [1, 1, 1]}\nignore: [black]", "'black' is not a colour"),
        ('classes: {a: [1, 1, 1]}\nignore: "#000000"', "ignore is '#000000'; it is a list"),
        ("classes: {a: [1, 1, 1]}\nmasks: id\nignore: 0", "ignore is 0; it is a list"),
        ("classes: {a: [1, 1, 1]}\nmasks: id\nignore: [256]", "256 is not an id from 0 to 255"),
        ("classes: {a: [1, 1, 1]}\n3: a\nx: b", "unknown key '3'"),
    ],
)
def test_a_wrong_palette_is_an_error_that_says_what_is_wrong(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "palette.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_palette(tmp_path / "palette.yaml")
    assert str(tmp_path / "palette.yaml") in str(error.value)


def test_a_palette_in_another_encoding_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "palette.yaml").write_bytes("classes: {Straße: [1, 1, 1]}".encode("latin-1"))
    with pytest.raises(InputError, match=r"palette\.yaml: not UTF-8 text"):
        read_palette(tmp_path / "palette.yaml")


def test_a_missing_palette_is_an_error_that_says_what_it_is_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"palette\.yaml: cannot be read: .* lists the classes"):
        read_palette(tmp_path / "palette.yaml")
