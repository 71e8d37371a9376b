"""Marks of a review -> a copy of the data set with the accepted proposals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from dashseg.cli import main
from dashseg.config import DataConfig
from dashseg.curate.stats import collect
from dashseg.data import Dataset, open_dataset
from dashseg.errors import InputError
from dashseg.labels import COMMA10K, read_mask
from dashseg.review import Part, apply_review, write_review

SKY, PAVEMENT, VOID = (128, 128, 128), (0, 0, 192), (0, 0, 0)
CAMVID = np.array([(128, 64, 128), (128, 0, 192), (192, 192, 0), (64, 0, 128)], np.uint8)


def save_marks(path: Path, out: Path, by_name: Any, **changes: Any) -> Path:
    fingerprint = json.loads((out / "review.json").read_text())["data"]["fingerprint"]
    listed = [{"name": name, "mark": mark} for name, mark in by_name.items()]
    path.write_text(
        json.dumps({"schema": 1, "fingerprint": fingerprint, "marks": listed} | changes)
    )
    return path


@pytest.fixture
def reviewed(frames: Dataset, oracle: Any, tmp_path: Path) -> Path:
    write_review(tmp_path / "out", frames, [Part(oracle, frames)])
    return tmp_path / "out"


def test_accepted_proposals_replace_masks_and_all_else_is_copied(
    reviewed: Path, frames: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, fixed = Path(frames.root), tmp_path / "fixed"
    (root / "LICENSE").write_text("MIT")
    marks = save_marks(tmp_path / "marks.json", reviewed, {"c": "wrong", "d": "right"})
    assert main(["review", "apply", str(reviewed), str(marks), "--to", str(fixed)]) == 0
    assert "5 frames, 1 with a new mask" in capsys.readouterr().out
    before, after = (
        {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for folder in (root, fixed)
    )
    assert after.keys() - before.keys() == {"changes.json"}
    assert {name for name in before if before[name] != after[name]} == {"masks/c.png"}
    mended = read_mask(fixed / "masks" / "c.png", frames.classes)
    proposed = read_mask(reviewed / "proposals" / "c.png", frames.classes)
    assert np.array_equal(mended, proposed)
    assert json.loads(after["changes.json"])["changed"] == {
        "c": {
            "mask": "masks/c.png",
            "pixels": 320,
            "classes": {"road -> movable": 240, "undrivable -> movable": 80},
        }
    }
    assert open_dataset(DataConfig(root=str(fixed)), "all").names == frames.names
    assert collect(open_dataset(DataConfig(root=str(fixed))), 1, use_cache=False).images == 5


def test_camvids_colours_stay_where_nothing_changed(
    scene: NDArray[np.uint8], oracle: Any, tmp_path: Path
) -> None:
    """Changed pixels get the colour of the nearest pixel of their class, else the class's first."""
    root = tmp_path / "camvid"
    drawn = CAMVID[scene]
    drawn[:12], drawn[12:24] = SKY, PAVEMENT
    drawn[20:24, 48:68] = CAMVID[3]
    wrong = drawn.copy()
    wrong[20:36, 48:68] = PAVEMENT  # hides the vehicle, the only one
    wrong[:5, 5:30] = CAMVID[0]  # road in the sky
    wrong[50:55, 2:9] = VOID
    palette = np.array(COMMA10K.colours, np.uint8)
    for name, mask in (("0016E5_1", wrong), ("0016E5_2", drawn)):
        for path, pixels in (
            (f"images/{name}.png", palette[scene]),
            (f"labels/{name}_L.png", mask),
        ):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(pixels).save(root / path)
    frames = open_dataset(DataConfig(root=str(root)), "all")
    out, fixed = tmp_path / "out", tmp_path / "fixed"
    write_review(out, frames, [Part(oracle, frames)])
    marks = save_marks(tmp_path / "marks.json", out, {"0016E5_1": "wrong"})
    apply_review(out, marks, fixed)
    expected = drawn.copy()
    expected[50:55, 2:9] = VOID
    mended = np.asarray(PIL.Image.open(fixed / "labels" / "0016E5_1_L.png"))
    assert np.array_equal(mended, expected)
    sound = "labels/0016E5_2_L.png"
    assert (fixed / sound).read_bytes() == (root / sound).read_bytes()
    assert open_dataset(DataConfig(root=str(fixed)), "all").names == frames.names


def test_frames_called_like_formulas_are_found_again(
    write_scenes: Callable[..., Dataset], scene: NDArray[np.uint8], oracle: Any, tmp_path: Path
) -> None:
    wrong = scene.copy()
    wrong[24:36, 48:68] = 0
    frames = write_scenes({"=1+1": wrong, "-b": scene, "'@c": scene})
    write_review(tmp_path / "out", frames, [Part(oracle, frames)])
    marks = save_marks(tmp_path / "marks.json", tmp_path / "out", {"=1+1": "wrong"})
    assert apply_review(tmp_path / "out", marks, tmp_path / "fixed")["changed"].keys() == {"=1+1"}


def test_ids_stay_ids(scene: NDArray[np.uint8], oracle: Any, tmp_path: Path) -> None:
    root = tmp_path / "ids"
    names = "".join(f"  {n}: '#0000{i}0'\n" for i, n in enumerate(COMMA10K.names))
    wrong = scene.copy()
    wrong[20:24, 48:68], wrong[24:36, 48:68], wrong[0, 0] = 2, 0, 77
    for path, pixels in (
        ("images/a.png", np.array(COMMA10K.colours, np.uint8)[scene]),
        ("masks/a.png", wrong),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels).save(root / path)
    (root / "palette.yaml").write_text(f"masks: id\nignore: [77]\nclasses:\n{names}")
    frames = open_dataset(DataConfig(root=str(root)), "all")
    write_review(tmp_path / "out", frames, [Part(oracle, frames)])
    marks = save_marks(tmp_path / "marks.json", tmp_path / "out", {"a": "wrong"})
    apply_review(tmp_path / "out", marks, tmp_path / "fixed")
    expected = scene.copy()
    expected[0, 0] = 77  # ignored, as it was stored
    mended = np.asarray(PIL.Image.open(tmp_path / "fixed" / "masks" / "a.png"))
    assert np.array_equal(mended, expected)


@pytest.mark.parametrize(
    ("marks", "changes", "message"),
    [
        ({"c": "right"}, {}, "no frame is marked wrong"),
        ({"nobody": "wrong"}, {}, "'nobody' is not in the data"),
        ({"../../c": "wrong"}, {}, "is not in the data"),
        ({"/etc/passwd": "wrong"}, {}, "is not in the data"),
        ({"c": "evil"}, {}, "not the marks that a review's page saves"),
        ({"c": "wrong"}, {"fingerprint": "0"}, "the marks of another review"),
        ({}, {"marks": [{"name": "c", "mark": "wrong"}] * 2}, "marked twice"),
        ({}, {"marks": 7}, "not the marks that"),
        ({}, {"marks": [{"name": ["c"], "mark": "wrong"}]}, "not the marks that"),
        ({}, {"marks": [{"name": "c", "mark": ["wrong"]}]}, "not the marks that"),
    ],
)
def test_marks_of_others_are_an_error_and_nothing_is_written(
    reviewed: Path, tmp_path: Path, marks: Any, changes: Any, message: str
) -> None:
    path = save_marks(tmp_path / "marks.json", reviewed, marks, **changes)
    with pytest.raises(InputError, match=message):
        apply_review(reviewed, path, tmp_path / "fixed")
    assert not (tmp_path / "fixed").exists()


def test_data_that_changed_proposals_that_do_not_fit_and_taken_names_are_errors(
    reviewed: Path, frames: Dataset, tmp_path: Path
) -> None:
    root = Path(frames.root)
    marks = save_marks(tmp_path / "marks.json", reviewed, {"c": "wrong"})
    for to, message in ((root, "exists"), (root / "new", "is inside"), (reviewed / "n", "inside")):
        with pytest.raises(InputError, match=message):
            apply_review(reviewed, marks, to)
    proposal = reviewed / "proposals" / "c.png"
    kept = proposal.read_bytes()
    PIL.Image.new("RGB", (3, 3)).save(proposal)
    with pytest.raises(InputError, match=r"c\.png: \(3, 3\) pixels"):
        apply_review(reviewed, marks, tmp_path / "fixed")
    proposal.unlink()
    proposal.symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="leads out of"):
        apply_review(reviewed, marks, tmp_path / "fixed")
    proposal.unlink()
    proposal.write_bytes(kept)
    (root / "masks" / "a.png").write_bytes((root / "masks" / "a.png").read_bytes() + b"\0")
    with pytest.raises(InputError, match="changed since"):
        apply_review(reviewed, marks, tmp_path / "fixed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "marks.json", "out"]


@pytest.mark.parametrize("facts", ["[]", "{}", '{"data": 3}', '{"data": {"root": 3}}', "{"])
def test_a_folder_that_is_no_review_is_an_error(tmp_path: Path, facts: str) -> None:
    (tmp_path / "review.json").write_text(facts)
    with pytest.raises(InputError, match=r"review\.json"):
        apply_review(tmp_path, tmp_path / "marks.json", tmp_path / "fixed")


def test_a_data_set_that_moved_is_named(reviewed: Path, frames: Dataset, tmp_path: Path) -> None:
    marks = save_marks(tmp_path / "marks.json", reviewed, {"c": "wrong"})
    moved = Path(frames.root).rename(tmp_path / "moved")
    with pytest.raises(InputError, match="no such folder"):
        apply_review(reviewed, marks, tmp_path / "fixed")
    assert apply_review(reviewed, marks, tmp_path / "fixed", data=moved)["frames"] == 5
