"""Where sums are kept, and what makes them stale."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from dashseg.config import DataConfig
from dashseg.curate.stats.cache import cache_file, cache_folder, digest, load, store
from dashseg.curate.stats.count import Totals
from dashseg.data import open_dataset

NAMES = ["0000_a_1", "0001_a_2", "0002_a_9"]


@pytest.fixture
def root(tmp_path: Path, write_comma10k: Any) -> Path:
    write_comma10k(tmp_path / "data", NAMES)
    return tmp_path / "data"


def opened(root: Path, split: str = "all"):
    return open_dataset(DataConfig(root=str(root)), split)


def of_2_classes(values):
    return Totals.from_json(values, 2)


def of_3_classes(values):
    return Totals.from_json(values, 3)


def test_an_edit_of_equal_size_makes_another_digest(root: Path) -> None:
    before = digest(opened(root))
    assert digest(opened(root)) == before
    for part in ("imgs", "masks"):
        file = root / part / f"{NAMES[1]}.png"
        time = file.stat().st_mtime_ns
        os.utime(file, ns=(time, time + 1))
        changed = digest(opened(root))
        assert changed != before
        before = changed


def test_frames_that_come_or_go_make_another_digest(root: Path, write_comma10k: Any) -> None:
    before = digest(opened(root))
    write_comma10k(root, ["0003_a_4"])
    assert digest(opened(root)) != before
    for part in ("imgs", "masks"):
        (root / part / "0003_a_4.png").unlink()
    assert digest(opened(root)) == before


def test_another_meaning_of_the_colours_makes_another_digest(
    tmp_path: Path, write_folder: Any
) -> None:
    palette = 'classes: {a: "#000000", b: "#ffffff"}\n'
    write_folder(tmp_path / "data", ["x", "y"], palette, ["#000000", "#ffffff"])
    before = digest(opened(tmp_path / "data"))
    (tmp_path / "data/palette.yaml").write_text(palette + 'ignore: ["#ff0000"]\n')
    assert digest(opened(tmp_path / "data")) != before


def test_drawn_scenes_differ_by_number_and_seed() -> None:
    roots = ("synthetic:10", "synthetic:11", "synthetic:10:1")
    datasets = [open_dataset(DataConfig(root=root)) for root in roots]
    assert len({digest(dataset) for dataset in datasets}) == 3
    assert len({cache_file(dataset) for dataset in datasets}) == 3


def test_each_folder_split_and_kind_has_one_file(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cache_file(opened(root))
    assert cache_file(opened(root, "train")) != file
    as_drawn = open_dataset(DataConfig(root=str(root), dataset="synthetic"))
    assert cache_file(as_drawn) != file
    monkeypatch.chdir(tmp_path)
    assert cache_file(opened(Path("data"))) == file  # however the folder is named


def test_what_was_kept_comes_back_for_the_same_digest_only(tmp_path: Path) -> None:
    totals = Totals(2)
    totals.frames, totals.cover[3, 4, 1] = 7, 0.1
    file = tmp_path / "deep" / "kept.json"
    store(file, "digest", "root", totals.to_json())
    again = load(file, "digest", of_2_classes)
    assert again is not None and again.to_json() == totals.to_json()
    assert load(file, "another", of_2_classes) is None
    assert load(file, "digest", of_3_classes) is None  # of other classes
    assert load(tmp_path / "missing.json", "digest", of_2_classes) is None


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"\xff\xfe", b'{"digest": "digest"}', b"null"]
)
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "kept.json").write_bytes(damage)
    assert load(tmp_path / "kept.json", "digest", of_2_classes) is None


@pytest.mark.parametrize(
    ("whole", "damaged"),
    [
        ('"groups"', '"grops"'),
        ('"luma_bins": [0, ', '"luma_bins": ['),
        ('"counts": [0, 0]', '"counts": [0, "x"]'),
        ('"sizes": []', '"sizes": [[1]]'),
        ('"cover": [0.0, ', '"cover": [null, '),
        ('"cover": [0.0, ', '"cover": [1.0, '),
        ("}}", "}"),
    ],
)
def test_a_part_that_is_missing_or_wrong_is_as_good_as_none(
    tmp_path: Path, whole: str, damaged: str
) -> None:
    file = tmp_path / "kept.json"
    store(file, "digest", "root", Totals(2).to_json())
    text = file.read_text()
    assert whole in text
    file.write_text(text.replace(whole, damaged))
    assert load(file, "digest", of_2_classes) is None


@pytest.mark.skipif(sys.platform != "linux", reason="other platforms have folders of their own")
def test_the_cache_is_where_the_users_programs_keep_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSEG_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("DASHSEG_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "dashseg"
    for nothing in ("", "not/absolute"):
        monkeypatch.setenv("XDG_CACHE_HOME", nothing)
        assert cache_folder() == tmp_path / "home" / ".cache" / "dashseg"
