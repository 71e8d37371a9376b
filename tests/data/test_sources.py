"""A folder is recognised by its layout, and one side of its split is opened, or an error helps."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from dashseg.config import DataConfig
from dashseg.data import Dataset, open_dataset
from dashseg.errors import InputError
from dashseg.scenes import render_scene, synthesise

PALETTE = 'classes: {a: "#402020", b: "#ff0000", c: "#808060", d: "#00ff66", e: "#cc00ff"}'
NAMES = ["a_10", "a_19", "b_20", "b_29"]


@pytest.fixture
def root(tmp_path: Path, write_comma10k: Callable[..., object]) -> Path:
    """Four comma10k frames, two of them for validation."""
    write_comma10k(tmp_path / "data", NAMES)
    return tmp_path / "data"


def open_at(root: Path | str, side: str = "all", /, **options: Any) -> Dataset:
    return open_dataset(DataConfig(root=str(root), **options), side)


def problem(root: Path | str, side: str = "all", /, **options: Any) -> str:
    """The message with which the data set is refused: one line."""
    with pytest.raises(InputError) as error:
        open_at(root, side, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def split_file(root: Path, value: object) -> Path:
    path = root.parent / "split.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_each_layout_is_recognised(
    root: Path,
    tmp_path: Path,
    write_camvid11: Callable[..., object],
    write_folder: Callable[..., object],
) -> None:
    write_camvid11(tmp_path / "camvid", {"train": ["a"]})
    write_folder(tmp_path / "folder", ["a"], PALETTE, ("#402020", "#ff0000"))
    assert open_at(root).kind == "comma10k"
    assert open_at(tmp_path / "camvid").kind == "camvid"
    assert open_at(tmp_path / "folder").kind == "folder"


def test_a_palette_file_wins_and_dataset_overrides_it(root: Path) -> None:
    (root / "imgs").rename(root / "images")
    (root / "palette.yaml").write_text(PALETTE)
    assert open_at(root).kind == "folder"
    (root / "imgs").symlink_to("images")
    assert open_at(root).kind == "folder"
    assert open_at(root, dataset="comma10k").kind == "comma10k"


def test_an_overriding_dataset_of_another_layout_is_an_error(root: Path) -> None:
    assert "images: no such folder; this layout has images/ and masks/" in problem(
        root, dataset="folder"
    )
    assert "not CamVid" in problem(root, dataset="camvid")


def test_no_data_at_all_is_an_error_that_names_the_option() -> None:
    with pytest.raises(InputError, match=r"no data given: .* --data"):
        open_dataset(DataConfig())


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    assert problem(tmp_path / "gone") == f"{tmp_path / 'gone'}: no such folder"


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "data.zip").touch()
    assert problem(tmp_path / "data.zip") == f"{tmp_path / 'data.zip'}: not a folder"


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    assert problem(tmp_path) == f"{tmp_path}: the folder is empty"


def test_a_folder_of_no_known_layout_is_an_error_that_shows_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    message = problem(tmp_path)
    for known in ("imgs/ and masks/", "labels/*_L.png", "trainannot/", "palette.yaml", "--dataset"):
        assert known in message


def test_a_layout_without_images_is_an_error(tmp_path: Path) -> None:
    for folder in ("imgs", "masks"):
        (tmp_path / folder).mkdir()
    assert problem(tmp_path) == f"{tmp_path}: no images found"


def test_an_image_without_a_mask_and_a_mask_without_an_image_are_listed(root: Path) -> None:
    (root / "masks" / "a_19.png").unlink()
    (root / "imgs" / "b_20.png").unlink()
    (root / "imgs" / "b_29.png").unlink()
    assert problem(root) == (
        f"{root}: 1 images without a mask: a_19; 2 masks without an image: b_20, b_29"
    )


def test_long_lists_are_cut(root: Path) -> None:
    for i in range(8):
        (root / "imgs" / f"{i}.png").touch()
    assert problem(root).endswith("8 images without a mask: 0, 1, 2, 3, 4 and 3 more")


def test_sizes_that_differ_are_listed_before_any_pixel_is_read(root: Path) -> None:
    for name in NAMES:  # only headers are left: pixels could not be read
        for folder in ("imgs", "masks"):
            path = root / folder / f"{name}.png"
            path.write_bytes(path.read_bytes()[:60])
    assert len(open_at(root)) == 4
    for name in ("a_19", "b_20"):
        path = root / "masks" / f"{name}.png"
        PIL.Image.fromarray(np.zeros((41, 57, 3), np.uint8)).save(path)
    assert problem(root) == (
        f"{root}: 2 pairs cannot be used:"
        f" {root / 'masks' / 'a_19.png'}: mask is 57×41, its image 56×40,"
        f" {root / 'masks' / 'b_20.png'}: mask is 57×41, its image 56×40"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"not a picture", "not an image that can be read"),
        (b"\x89PNG\r\n\x1a\n", "the file is truncated"),
    ],
)
def test_files_that_are_no_images_are_listed(root: Path, content: bytes, reason: str) -> None:
    (root / "imgs" / "b_20.png").write_bytes(content)
    message = problem(root)
    assert "1 pairs cannot be used" in message
    assert f"{root / 'imgs' / 'b_20.png'}: {reason}" in message


def test_only_the_side_that_is_opened_is_checked(root: Path) -> None:
    (root / "imgs" / "b_20.png").write_bytes(b"")
    assert len(open_at(root, "val")) == 2
    assert "b_20.png" in problem(root, "train")


def test_no_validation_frames_are_an_error_that_says_what_to_do(root: Path) -> None:
    for name in ("a_19", "b_29"):
        (root / "imgs" / f"{name}.png").unlink()
        (root / "masks" / f"{name}.png").unlink()
    message = problem(root, "val")
    assert "none of its 2 frames is in split 'val' (comma10k's rule)" in message
    assert "--split" in message


def test_an_unknown_split_is_an_error_that_lists_the_known_ones(root: Path) -> None:
    assert "split 'test': expected train, val, all or the path of a split file" in problem(
        root, "test"
    )


@pytest.mark.parametrize("side", ["train", "val", "all"])
def test_a_file_called_as_a_side_is_no_split_file(
    root: Path, side: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = open_at(root, side).names
    monkeypatch.chdir(tmp_path)
    Path(side).write_text('{"train": ["a_19"], "val": ["b_20"]}')
    assert open_at(root, side).names == expected
    assert open_at(root, f"./{side}").names == ("b_20",)


@pytest.mark.parametrize("text", ["x" * 300, "loop", "a\0b", "pipe", "pipe.json", "~nobody/x"])
def test_names_that_cannot_be_opened_are_errors(
    root: Path, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    os.mkfifo("pipe")
    os.mkfifo("pipe.json")
    assert problem(text)
    assert problem(root, text)
    assert problem(root, "val", split=text)


def test_a_split_file_decides(root: Path) -> None:
    path = split_file(root, {"train": ["a_19", "b_29"], "val": ["b_20"]})
    assert open_at(root, "train", split=path).names == ("a_19", "b_29")
    assert open_at(root, "val", split=path).names == ("b_20",)
    assert open_at(root, "all", split=path).names == tuple(NAMES)


def test_a_split_file_given_as_the_split_means_its_validation_frames(root: Path) -> None:
    path = split_file(root, {"train": ["a_19"], "val": ["b_20", "a_10"]})
    dataset = open_at(root, str(path))
    assert dataset.names == ("a_10", "b_20")  # in the data set's order
    assert dataset.split == str(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"train": ["a_10", "a_19"], "val": ["a_19"]}, "in both train and val: a_19"),
        ({"train": ["a_10", "x"], "val": ["y"]}, "2 names are not in the data: x, y"),
        ({"train": ["a_10"]}, 'a split file holds {"train": [names…], "val": [names…]}'),
        ({"train": ["a_10"], "val": "a_19"}, "a split file holds"),
        ({"train": [["a_10"]], "val": ["a_19"]}, "a split file holds"),
        ({"train": [1], "val": ["a_19"]}, "a split file holds"),
        (["a_10"], "a split file holds"),
        ("{", "not valid JSON"),
    ],
)
def test_a_wrong_split_file_is_an_error_that_names_it(
    root: Path, value: object, message: str
) -> None:
    path = split_file(root, value)
    for found in (problem(root, "train", split=path), problem(root, str(path))):
        assert found.startswith(f"{path}: ")
        assert message in found


def test_a_split_file_without_validation_frames_is_an_error_that_names_it(root: Path) -> None:
    path = split_file(root, {"train": ["a_10"], "val": []})
    expected = f"{path}: lists no frames for 'val'"
    assert problem(root, "val", split=path) == problem(root, str(path)) == expected


def test_a_missing_split_file_is_an_error(root: Path) -> None:
    assert "gone.json: cannot be read: No such file" in problem(root, "val", split="gone.json")


def test_drawn_scenes_are_known_from_real_frames(tmp_path: Path) -> None:
    synthesise(tmp_path / "scenes", 10, seed=1, workers=1, size=(64, 96))
    scenes = open_dataset(DataConfig(root=str(tmp_path / "scenes")), "val")
    assert (scenes.kind, len(scenes)) == ("synthetic", 1)


def test_scenes_drawn_when_read_are_those_that_are_written() -> None:
    drawn = open_dataset(DataConfig(root="synthetic:20:3"), "val")
    assert (drawn.kind, len(drawn)) == ("synthetic", 2)
    scene = render_scene(3, 19)
    image, label, name = drawn[1]
    assert name + ".png" == scene.name
    assert np.array_equal(image, scene.image) and np.array_equal(label, scene.label)
    assert (
        drawn.fingerprint() != open_dataset(DataConfig(root="synthetic:20:4"), "val").fingerprint()
    )


@pytest.mark.parametrize(
    "root",
    [
        "synthetic:",
        "synthetic:0",
        "synthetic:many",
        "synthetic:5:x",
        "synthetic:²",
        "synthetic:1000000000000",
        "synthetic:1:" + "9" * 5000,
    ],
)
def test_a_root_that_names_no_scenes_is_an_error(root: str) -> None:
    with pytest.raises(InputError, match="synthetic:N"):
        open_dataset(DataConfig(root=root))
