"""`dashseg data stats` by the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashseg.cli import main

NAMES = [f"{i:04}_45aaf4dc9a2f3a8c_2018-07-09--08-15-59_1_{i}" for i in range(10)]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_comma10k: Any) -> Path:
    monkeypatch.setenv("DASHSEG_CACHE", str(tmp_path / "cache"))
    write_comma10k(tmp_path / "data", NAMES)
    write_comma10k(tmp_path / "data", ["wide_1"], part="imgs2")
    return tmp_path / "data"


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = main(["data", "stats", *map(str, arguments), "--workers", "1"])
    return code, *capsys.readouterr()


def test_the_table_tells_classes_brightness_and_devices(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, root)
    assert code == 0
    for text in ("lane markings", "ENet", "56×40 (10)", "mean luma", "devices: 1", "10 frames"):
        assert text in out


def test_a_class_that_no_label_shows_is_named(
    root: Path, capsys: pytest.CaptureFixture[str], write_folder: Any
) -> None:
    assert "no label shows" not in run(capsys, root)[1]
    palette = 'classes: {road: "#000000", car: "#ffffff", sky: "#0000ff"}'
    write_folder(root.parent / "own", ["a", "b"], palette, ("#000000", "#ffffff"))
    assert "classes that no label shows: sky\n" in run(capsys, root.parent / "own")[1]


def test_json_has_its_documented_keys_and_is_the_same_when_kept(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, root, "--json")
    assert code == 0
    found = json.loads(out)
    assert list(found) == [
        "schema", "data", "sizes", "pixels", "ignored_pixels", "ignored_share",
        "heat_map_grid", "classes", "brightness", "names",
    ]  # fmt: skip
    assert found["schema"] == 1 and found["data"]["images"] == 10
    assert found["sizes"] == [{"height": 40, "width": 56, "frames": 10}]
    assert set(found["classes"][0]) == {
        "name", "colour", "pixels", "share", "frames", "frame_share",
        "enet_weight", "median_frequency_weight", "heat_map",
    }  # fmt: skip
    maps = np.array([row["heat_map"] for row in found["classes"]])
    assert maps.shape == (5, *found["heat_map_grid"])
    assert maps.sum(0) == pytest.approx(1, abs=1e-3)  # every pixel has a class
    bright = found["brightness"]
    assert sum(bright["frames"]) == 10 == len(bright["frames"]) - 54
    assert len(bright["edges"]) == len(bright["frames"]) + 1
    assert sum(group["frames"] for group in bright["groups"].values()) == 10
    assert sum(found["names"]["hours"]) == 10 == found["names"]["hours"][8]
    assert "counting" in err
    _, again, err = run(capsys, root, "--json")
    assert again == out
    assert "no frame has changed" in err and "counting" not in err
    _, anew, err = run(capsys, root, "--json", "--no-cache")
    assert anew == out
    assert "counting" in err


def test_the_page_is_written_where_asked(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, root, "--out", tmp_path / "page")
    assert code == 0 and f"page: {tmp_path / 'page' / 'index.html'}" in out
    assert "lane markings" in (tmp_path / "page/index.html").read_text("utf-8")


def test_a_taken_page_is_an_error_before_anything_is_counted(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("mine")
    code, out, err = run(capsys, root, "--out", tmp_path / "page")
    assert code == 2 and out == ""
    assert err.startswith("error: ") and "page exists" in err and err.count("\n") == 1
    assert not (tmp_path / "cache").exists()


def test_a_split_and_a_part_can_be_chosen(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": NAMES[:4], "val": NAMES[4:7]}))
    for arguments, images in (
        (("--split", "val"), 1),
        (("--split", "train"), 9),
        (("--split", split), 3),
        (("--set", "data.parts=[imgs2]"), 1),
        (("--dataset", "synthetic"), 10),
    ):
        code, out, _ = run(capsys, root, "--json", *arguments)
        assert code == 0 and json.loads(out)["data"]["images"] == images, arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("no/such/folder",), "no such folder"), ((".", "--dataset", "x"), "dataset")],
)
def test_bad_input_is_one_line(
    arguments: Any,
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert code == 2 and out == ""
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
