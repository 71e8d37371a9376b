"""Anyone's frames: images/ + masks/ + palette.yaml, with sub-folders, a split and clear errors."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from dashseg.config import DataConfig
from dashseg.data import open_dataset
from dashseg.data.folder import read_palette
from dashseg.errors import InputError
from dashseg.labels import decode_mask, store_ids

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


@pytest.mark.parametrize("ignored", ['"#000000"', '["#000000"]', "[[0, 0, 0]]", "[[0x0, 0, 0]]"])
def test_a_single_colour_to_ignore_needs_no_list(tmp_path: Path, ignored: str) -> None:
    (tmp_path / "palette.yaml").write_text(f"classes: {{a: [1, 1, 1]}}\nignore: {ignored}\n")
    classes = read_palette(tmp_path / "palette.yaml")
    assert decode_mask(np.array([[[0] * 3, [1] * 3]], np.uint8), classes).tolist() == [[255, 0]]


def test_names_of_classes_are_text_as_written(tmp_path: Path) -> None:
    names = ["on", "no", "1e3", "2026-01-02", "null", "~", "0x10", "1_000", "12:30:00", "=", "é"]
    lines = [f"  {name}: [{i}, 0, 0]" for i, name in enumerate(names)]
    (tmp_path / "palette.yaml").write_text("\n".join(["classes:", *lines]))
    assert list(read_palette(tmp_path / "palette.yaml").names) == names


def test_a_value_of_255_is_a_class_where_the_palette_says_so(tmp_path: Path) -> None:
    palette = tmp_path / "palette.yaml"
    palette.write_text('classes: {no: "#000000", on: "#ffffff"}\nmasks: id\n')
    values = np.array([[0, 255]], np.uint8)
    assert decode_mask(values, read_palette(palette)).tolist() == [[0, 255]]
    palette.write_text(palette.read_text() + "ids: [0, 255]\nignore: 7\n")
    classes = read_palette(palette)
    assert decode_mask(np.array([[0, 255, 7]], np.uint8), classes).tolist() == [[0, 1, 255]]
    with pytest.raises(InputError, match=r"value 1 .* is not in the palette"):
        decode_mask(np.array([[0, 1]], np.uint8), classes)
    label = np.array([[1, 0, 255]], np.uint8)
    assert store_ids(label, classes).tolist() == [[255, 0, 7]]
    palette.write_text(palette.read_text().replace("ignore: 7", "ignore:"))
    assert store_ids(label[:, :2], read_palette(palette)).tolist() == [[255, 0]]
    with pytest.raises(InputError, match="has no value for that"):
        store_ids(label, read_palette(palette))


def test_subfolders_are_part_of_the_name(tmp_path: Path, write_folder: Write) -> None:
    write_folder(tmp_path, ["city/rain/1", "city/1", "1"], PALETTE, COLOURS)
    assert names(tmp_path) == ["1", "city/1", "city/rain/1"]


def test_split_folders_are_the_split(tmp_path: Path, write_folder: Write) -> None:
    write_folder(tmp_path, ["train/a", "train/b", "val/a"], PALETTE, COLOURS)
    assert names(tmp_path, "train") == ["train/a", "train/b"]
    assert names(tmp_path, "val") == ["val/a"]


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("training", "validation"), ("train", "valid"), ("Train", "VAL"), ("train", "dev"),
        ("train", "test"), ("training", "testing"),
    ],
)  # fmt: skip
def test_usual_names_of_split_folders_are_known(
    tmp_path: Path, write_folder: Write, train: str, val: str
) -> None:
    frames = {side: [f"{side}/{i}" for i in range(20)] for side in (train, val)}
    write_folder(tmp_path, [*frames[train], *frames[val]], PALETTE, COLOURS)
    assert names(tmp_path, "train") == frames[train]
    assert names(tmp_path, "val") == frames[val]


def test_test_frames_beside_train_and_val_are_a_side_of_their_own(
    tmp_path: Path, write_folder: Write
) -> None:
    write_folder(tmp_path, ["train/a", "valid/b", "testing/c", "more/d"], PALETTE, COLOURS)
    sides = {side: names(tmp_path, side) for side in ("train", "val", "test")}
    assert sides == {"train": ["train/a"], "val": ["valid/b"], "test": ["testing/c"]}
    assert len(names(tmp_path)) == 4


@pytest.mark.parametrize("other", ["holdout/", "", "drive1/night/"])
@pytest.mark.parametrize("known", ["train", "test", "dev"])
def test_a_folder_of_unknown_purpose_beside_a_known_one_stops_with_the_known_names(
    tmp_path: Path, write_folder: Write, known: str, other: str
) -> None:
    frames = [f"{folder}{i}" for folder in (f"{known}/", other) for i in range(20)]
    write_folder(tmp_path, frames, PALETTE, COLOURS)
    for side in ("train", "val"):
        with pytest.raises(InputError, match=r"train or training; val or valid .* test or testing"):
            names(tmp_path, side)
    assert len(names(tmp_path)) == 40


def test_test_frames_alone_are_held_out(tmp_path: Path, write_folder: Write) -> None:
    frames = [f"test/{i}" for i in range(20)]
    write_folder(tmp_path, frames, PALETTE, COLOURS)
    assert names(tmp_path, "val") == frames
    with pytest.raises(InputError, match="none of its 20 frames is in split 'train'"):
        names(tmp_path, "train")


def test_folders_of_drives_are_no_split(tmp_path: Path, write_folder: Write) -> None:
    frames = [f"drive{drive}/{i}" for drive in (1, 2) for i in range(30)]
    write_folder(tmp_path, frames, PALETTE, COLOURS)
    assert sorted([*names(tmp_path, "train"), *names(tmp_path, "val")]) == sorted(frames)


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path, write_folder: Write) -> None:
    frames = ["a/1", "a/2", "a/10", "a/100", "b2/0", "b10/0"]
    write_folder(tmp_path, frames[::-1], PALETTE, COLOURS)
    assert names(tmp_path) == frames


def test_names_in_another_unicode_form_pair_up(tmp_path: Path, write_folder: Write) -> None:
    write_folder(tmp_path, ["Straße/caf\u00e9"], PALETTE, COLOURS)
    mask = tmp_path / "masks" / "Straße" / "caf\u00e9.png"
    mask.rename(mask.with_name("cafe\u0301.png"))
    assert names(tmp_path) == ["Straße/caf\u00e9"]
    split = tmp_path / "split.json"
    split.write_text('{"train": [], "val": ["Straße/cafe\u0301"]}')
    assert names(tmp_path, str(split)) == ["Straße/caf\u00e9"]


@pytest.mark.skipif(sys.platform != "linux", reason="others allow no such names")
def test_a_name_that_is_not_utf8_is_an_error_that_says_what_to_do(
    tmp_path: Path, write_folder: Write
) -> None:
    write_folder(tmp_path / "a", ["b"], PALETTE, COLOURS)
    for odd in (Path(os.fsdecode(b"caf\xe9.jpg")), Path(os.fsdecode(b"caf\xe9")) / "b.jpg"):
        path = tmp_path / "a" / "images" / odd
        path.parent.mkdir(exist_ok=True)
        (tmp_path / "a" / "images" / "b.jpg").rename(path)
        with pytest.raises(InputError, match=r"its name is not UTF-8.*: rename it"):
            names(tmp_path / "a")
        path.rename(tmp_path / "a" / "images" / "b.jpg")
    (tmp_path / "a").rename(tmp_path / os.fsdecode(b"caf\xe9"))
    with pytest.raises(InputError, match=r"its name is not UTF-8.*: rename it"):
        names(tmp_path / os.fsdecode(b"caf\xe9"))


@pytest.mark.parametrize(
    ("values", "palette"),
    [
        ([0, 255], '{classes: {class-0: "#000000", class-1: "#9e3779"}, masks: id, ids: [0, 255]}'),
        ([0, 1, 255], '{classes: {class-0: "#000000", class-1: "#9e3779"}, masks: id}'),
        (
            [(64, 32, 32), (64, 32, 32), (0, 255, 102)],
            '{classes: {class-0: "#402020", class-1: "#00ff66"}}',
        ),
    ],
)
def test_a_missing_palette_is_named_and_proposed(
    tmp_path: Path, values: list[Any], palette: str
) -> None:
    pixels = np.array([values], np.uint8)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        PIL.Image.fromarray(pixels).save(tmp_path / folder / "a.png")
    with pytest.raises(InputError, match=r"palette\.yaml is missing") as error:
        names(tmp_path)
    assert str(error.value).endswith(palette) and "\n" not in str(error.value)
    (tmp_path / "palette.yaml").write_text(palette)
    assert {*np.unique(open_dataset(DataConfig(root=str(tmp_path))).label(0))} <= {0, 1, 255}


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
        ("classes: {road: }", "'' is not a colour; write"),
        ("classes: {road: #402020\n}", "'' is not a colour; write"),
        ('classes: {a: "#010101", b: "#020202", a: "#030303"}', "'a' is there twice"),
        ('classes: {a: "#010101"}\nclasses: {b: "#020202"}', "'classes' is there twice"),
        ('classes: {"": [1, 1, 1]}', "a class has no name"),
        ("classes: {a: [1, 1, 1], b: [1, 1, 1]}", "two classes share a colour"),
        ("classes: {a: [1, 1, 1]}\nmask: id", "unknown key 'mask'; known: classes, ignore, masks"),
        ("classes: {a: [1, 1, 1]}\nmasks: ids", "masks is 'ids'; it can be colour or id"),
        ("classes: {a: [1, 1, 1]}\nignore: [black]", "'black' is not a colour"),
        ("classes: {a: [1, 1, 1]}\nignore: black", "'black' is not a colour"),
        ("classes: {a: [1, 1, 1]}\nignore: [[1, 1, 1]]", "#010101 is to be ignored, and is the c"),
        ("classes: {a: [1, 1, 1]}\nmasks: id\nignore: [0]", "0 is to be ignored, and is the class"),
        ("classes: {a: [1, 1, 1]}\nmasks: id\nids: [7]\nignore: 7", "7 is to be ignored, and is"),
        ("classes: {a: [1, 1, 1]}\nmasks: id\nids: [0, 255]", "1 classes need a list of as many"),
        ("classes: {a: [1, 1, 1]}\nmasks: id\nids: 7", "1 classes need a list of as many"),
        ("classes: {a: [1, 1, 1], b: [2, 2, 2]}\nmasks: id\nids: [3, 3]", "as many different"),
        ("classes: {a: [1, 1, 1]}\nids: [3]", "ids is for masks: id"),
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
