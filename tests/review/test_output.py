"""The folder of a review: whole or not at all, and never in the way of anything else."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dashseg.data import Dataset
from dashseg.errors import InputError
from dashseg.review.output import check_out, read_worst, write_review
from dashseg.review.suspects import Part


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def out(frames: Dataset, oracle: Any, tmp_path: Path) -> Path:
    write_review(tmp_path / "out", frames, [Part(oracle, frames)], top=2)
    return tmp_path / "out"


def test_the_table_has_every_frame_worst_first_with_its_worst_region(
    out: Path, frames: Dataset
) -> None:
    table = rows(out / "suspects.csv")
    assert [row["rank"] for row in table] == ["1", "2", "3", "4", "5"]
    assert {row["name"] for row in table} == set(frames.names)
    scores = [float(row["score"]) for row in table if row["score"]]
    assert scores == sorted(scores) and len(scores) == 4
    first = table[0]
    assert (first["name"], first["regions"]) == ("c", "2")
    assert (first["region_drawn"], first["region_seen"]) == ("road", "movable")
    assert [first[f"region_{side}"] for side in ("left", "top", "right", "bottom")] == [
        "48", "24", "68", "36",
    ]  # fmt: skip
    assert table[-1]["name"] == "b" and table[-1]["score"] == ""
    assert read_worst(out, 2) == table[:2]


def test_the_regions_have_a_row_each(out: Path) -> None:
    table = rows(out / "regions.csv")
    assert [(row["name"], row["region"], row["area"]) for row in table] == [
        ("c", "1", "240"),
        ("c", "2", "80"),
    ]
    assert all(float(row["confidence"]) > 0.9 and float(row["score"]) < 0.1 for row in table)


def test_review_json_says_what_was_done(out: Path, frames: Dataset) -> None:
    facts = json.loads((out / "review.json").read_text())
    assert facts["schema"] == 1
    assert facts["data"] == {
        "root": frames.root, "kind": "folder", "split": "all", "images": 5, "unlabelled": 1,
        "fingerprint": frames.fingerprint(),
    }  # fmt: skip
    assert facts["models"] == ["oracle"] and facts["out_of_fold"] is False
    assert facts["regions"]["count"] == 2 and facts["shown"] == 2
    assert facts["regions"]["thresholds"]["my car"] == 0.5


def test_top_limits_what_is_shown_and_proposed_but_not_the_table(out: Path) -> None:
    assert len(list((out / "proposals").iterdir())) == 2
    assert len(list((out / "pictures").iterdir())) == 2 * 3
    assert len(rows(out / "suspects.csv")) == 5


def test_data_that_nobody_labelled_make_a_review_that_shows_nothing(
    write_scenes: Callable[..., Dataset], scene: NDArray[np.uint8], oracle: Any, tmp_path: Path
) -> None:
    scene[:] = 255
    frames = write_scenes({"a": scene, "b": scene})
    facts = write_review(tmp_path / "out", frames, [Part(oracle, frames)])
    assert (facts["data"]["unlabelled"], facts["shown"], facts["regions"]["count"]) == (2, 0, 0)
    assert [row["score"] for row in rows(tmp_path / "out" / "suspects.csv")] == ["", ""]


def test_a_frame_that_cannot_be_read_leaves_nothing(
    frames: Dataset, oracle: Any, tmp_path: Path
) -> None:
    (Path(frames.root) / "masks" / f"{frames.names[3]}.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"d\.png"):
        write_review(tmp_path / "out", frames, [Part(oracle, frames)])
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_the_data_are_not_touched(frames: Dataset, oracle: Any, tmp_path: Path) -> None:
    def state() -> dict[Path, tuple[int, bytes]]:
        files = (path for path in (tmp_path / "data").rglob("*") if path.is_file())
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = state()
    write_review(tmp_path / "out", frames, [Part(oracle, frames)])
    assert state() == before


@pytest.mark.parametrize("name", ["../../../victim", "a/../../../victim", "..\\victim", "a\0b"])
def test_a_frames_name_never_leads_out_of_the_folder(
    frames: Dataset, oracle: Any, tmp_path: Path, name: str
) -> None:
    (tmp_path / "victim.png").write_text("precious")
    hostile = Renamed(frames, name)
    with pytest.raises(InputError, match="is not a path inside this folder"):
        write_review(tmp_path / "out", hostile, [Part(oracle, hostile)])
    assert (tmp_path / "victim.png").read_text() == "precious"
    assert not list(tmp_path.glob("out*"))


class Renamed:
    """A data set whose every frame has the same name."""

    def __init__(self, frames: Dataset, name: str) -> None:
        self.frames, self.name = frames, name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.frames, attribute)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Any:
        return self.frames[index]._replace(name=self.name)


def test_folds_beside_it_stay(frames: Dataset, oracle: Any, tmp_path: Path) -> None:
    kept = tmp_path / "out" / "folds" / "1" / "model" / "config.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    check_out(tmp_path / "out", folds=True)
    write_review(tmp_path / "out", frames, [Part(oracle, frames, 1)])
    assert kept.read_text() == "{}"
    assert (tmp_path / "out" / "review.json").is_file()


def test_a_move_that_was_stopped_is_made_anew(frames: Dataset, oracle: Any, tmp_path: Path) -> None:
    """Killed between two of its files: review.json, the last of them, is missing."""
    (tmp_path / "out" / "folds").mkdir(parents=True)
    write_review(tmp_path / "out", frames, [Part(oracle, frames, 1)])
    (tmp_path / "out" / "review.json").unlink()
    check_out(tmp_path / "out", folds=True)
    write_review(tmp_path / "out", frames, [Part(oracle, frames, 1)])
    assert (tmp_path / "out" / "review.json").is_file()


@pytest.mark.parametrize(
    ("entries", "folds", "message"),
    [
        (["review.json"], False, "finished review"),
        (["review.json", "folds/1.json"], True, "finished review"),
        (["folds/1.json"], False, "folds of a review that was stopped"),
        (["holiday.jpg"], False, "holds holiday.jpg"),
        (["holiday.jpg", "folds/1.json"], True, "holds holiday.jpg"),
        (["suspects.csv"], True, "holds suspects.csv"),
    ],
)
def test_a_taken_folder_is_an_error_that_says_what_it_holds(
    tmp_path: Path, entries: Any, folds: bool, message: str
) -> None:
    for entry in entries:
        (tmp_path / "out" / entry).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / entry).write_text("")
    with pytest.raises(InputError, match=message):
        check_out(tmp_path / "out", folds)
    assert all((tmp_path / "out" / entry).is_file() for entry in entries)


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="is a file"):
        check_out(tmp_path / "out", folds=False)


def test_a_full_disk_is_an_error_and_leaves_no_half_review(in_small_disk: Any) -> None:
    script = """
import sys
from pathlib import Path
from dashseg.errors import InputError
from dashseg.outputs import Record
out = Path(sys.argv[1]) / "out"
try:
    with Record(out, "review").replacing(last="review.json") as folder:
        (folder / "suspects.csv").write_bytes(bytes(1 << 20))
except InputError as error:
    print(error)
print(sorted(path.name for path in out.parent.iterdir()))
"""
    done = in_small_disk(script)
    lines = done.stdout.splitlines()
    assert "cannot write" in lines[0] and "No space left" in lines[0], done.stderr
    assert lines[1] == "[]"
