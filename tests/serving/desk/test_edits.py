"""The folder of edits: it trains and checks as it is, and the user's files stay as they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from dashseg.cli import main
from dashseg.config import DataConfig
from dashseg.data import open_dataset, open_training_set
from dashseg.data.sources import open_whole
from dashseg.errors import InputError
from dashseg.labels import COMMA10K
from dashseg.serving.desk import Desk, open_frames

from .conftest import Editor, OpenDesk, pixels, state_of

COLOURS = np.array([(64, 32, 32), (255, 0, 0), (128, 128, 96), (0, 255, 102), (204, 0, 255)])
PALETTE = 'classes: {sky: "#0000ff", car: [255, 0, 0]}\nignore: ["#000000", "#010101"]\n'


def diff(capsys: pytest.CaptureFixture[str], old: Path, new: Path) -> Any:
    capsys.readouterr()
    main(["data", "diff", str(old), str(new), "--json", "--workers", "1"])
    return json.loads(capsys.readouterr().out)


def test_an_edit_is_a_whole_mask_in_exact_colours_and_all_that_diff_shows(
    open_desk: OpenDesk, comma: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, out = state_of(comma), tmp_path / "out"
    ann = open_desk(comma, out)
    assert diff(capsys, comma, out)["equal"]
    label = ann.label(1)
    label[3:9, 5:40] = 3
    changed = int((label != ann.label(1)).sum())
    assert ann.save(1, label, 0).json()["version"] == 1
    mask = pixels((out / "masks" / "0002.png").read_bytes())
    assert mask.shape == (40, 56, 3)
    assert np.array_equal(mask, COLOURS[label])
    found = diff(capsys, comma, out)
    assert [(c["name"], c["pixels"], c["image"]) for c in found["changed"]] == [
        ("0002", changed, False)
    ]
    assert not found["added"]
    assert not found["gone"]
    assert main(["data", "check", str(out), "--workers", "1"]) == main(
        ["data", "check", str(comma), "--workers", "1"]
    )
    assert state_of(comma) == before


def test_back_to_the_drawn_label_is_the_drawn_file_byte_for_byte(
    open_desk: OpenDesk, comma: Path, tmp_path: Path
) -> None:
    ann, mask = open_desk(comma, tmp_path / "out"), "masks/0001.png"
    drawn = ann.label(0)
    ann.save(0, np.zeros_like(drawn), 0)
    assert (tmp_path / "out" / mask).read_bytes() != (comma / mask).read_bytes()
    ann.save(0, drawn, 1)
    assert (tmp_path / "out" / mask).read_bytes() == (comma / mask).read_bytes()


def test_the_folder_has_the_whole_data_set_though_one_split_is_mended(
    open_desk: OpenDesk, write_comma10k: Any, comma: Path, tmp_path: Path
) -> None:
    write_comma10k(comma, ["5000"], part="imgs2")
    (comma / "files_trainable").write_text("masks/0001.png\n")
    ann, out = open_desk(comma, tmp_path / "out", split="val"), tmp_path / "out"
    assert [item["name"] for item in ann.get("/frames")["items"]] == ["0009"]
    ours, theirs = (
        {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        for folder in (out, comma)
    )
    assert {name for name in ours if not name.startswith(".")} == theirs
    config = DataConfig(root=str(out), trainable_only=True)
    assert [*open_dataset(config).names] == ["0001"]


def test_colours_that_share_a_class_stay_where_nothing_changed(
    open_desk: OpenDesk, write_folder: Any, tmp_path: Path
) -> None:
    """A palette with two colours to ignore, sub-folders, and masks that are no PNG."""
    write_folder(tmp_path / "data", ["a/x", "b/y"], PALETTE, ["#0000ff", "#ff0000", "#010101"])
    drawn = tmp_path / "data" / "masks" / "b" / "y.png"
    with PIL.Image.open(drawn) as mask:
        mask.save(drawn.with_suffix(".bmp"))
    drawn.unlink()
    out = tmp_path / "out"
    ann = open_desk(tmp_path / "data", out)
    assert ann.get("/info")["ignore"] == {"id": 255, "colour": "#000000"}
    for frame, name in enumerate(("a/x.png", "b/y.png")):
        before = pixels((out / "masks" / name).read_bytes())
        label = ann.label(frame)
        assert set(np.unique(label)) == {0, 1, 255}
        label[:2] = 1
        label[-2:] = 255
        ann.save(frame, label, 0)
        after = pixels((out / "masks" / name).read_bytes())
        assert np.array_equal(after[2:-2], before[2:-2])
        assert (after[:2] == (255, 0, 0)).all()
        assert (after[-2:].reshape(-1, 3) == (1, 1, 1)).all()
    assert not (out / "masks" / "b" / "y.bmp").exists()
    assert [*open_dataset(DataConfig(root=str(out))).names] == ["a/x", "b/y"]


def test_masks_of_ids_keep_their_values(
    open_desk: OpenDesk, write_folder: Any, tmp_path: Path
) -> None:
    palette = 'classes: {a: "#000001", b: "#000002", c: "#000003"}\nmasks: id\nids: [0, 1, 7]\n'
    write_folder(tmp_path / "data", ["x"], palette, None)
    path = tmp_path / "data" / "masks" / "x.png"
    values = np.array([0, 1, 7], np.uint8)[pixels(path.read_bytes())]
    PIL.Image.fromarray(values).save(path)
    ann = open_desk(tmp_path / "data", tmp_path / "out")
    label = np.where(values == 7, 0, values)
    label[0] = 2
    label[1] = 255
    assert ann.save(0, label.astype(np.uint8), 0).status_code == 200
    expected = np.where(values == 7, 0, values)
    expected[0], expected[1] = 7, 255
    assert np.array_equal(pixels((tmp_path / "out/masks/x.png").read_bytes()), expected)


def test_segnets_folders_keep_their_splits(
    open_desk: OpenDesk, write_camvid11: Any, tmp_path: Path
) -> None:
    write_camvid11(tmp_path / "data", {"train": ["a"], "val": ["b"], "test": ["c"]})
    ann = open_desk(tmp_path / "data", tmp_path / "out")
    items = ann.get("/frames")["items"]
    assert {item["name"]: item["split"] for item in items} == {
        "train/a": "train", "val/b": "val", "test/c": "test",
    }  # fmt: skip
    label = np.full_like(ann.label(items[0]["id"]), 255)
    ann.save(items[0]["id"], label, 0)
    folder, name = items[0]["name"].split("/")
    mask = pixels((tmp_path / "out" / f"{folder}annot" / f"{name}.png").read_bytes())
    assert set(np.unique(mask)) <= {11, 255}


def test_masks_of_hard_links_are_copies(open_desk: OpenDesk, comma: Path, tmp_path: Path) -> None:
    ann, out = open_desk(comma, tmp_path / "out"), tmp_path / "out"
    ann.save(0, np.zeros((40, 56), np.uint8), 0)
    for path in (comma / "masks").iterdir():
        assert path.stat().st_nlink == 1
        assert not (out / "masks" / path.name).samefile(path)
    for path in (comma / "imgs").iterdir():
        assert (out / "imgs" / path.name).samefile(path)


def test_frames_without_masks_come_with_their_first_save(
    open_desk: OpenDesk, write_comma10k: Any, model: Any, tmp_path: Path
) -> None:
    data, out = tmp_path / "frames", tmp_path / "out"
    write_comma10k(data, ["0001", "0002"])
    shutil.rmtree(data / "masks")
    before = state_of(data)
    ann = open_desk(data, out, {"tiny": model})
    info = ann.get("/info")
    assert info["prelabels"]
    assert info["orders"] == ["files"]
    seen = pixels(ann.client.get("/desk/api/frames/0/seen").content)
    assert np.array_equal(ann.label(0), seen)
    assert np.array_equal(seen, model(data / "imgs" / "0001.png").label)
    assert not [path for path in out.rglob("*.png") if path.is_file()]
    assert ann.save(0, seen, 3).status_code == 409
    assert ann.save(0, seen, 0).json()["version"] == 1
    mended = seen.copy()
    mended[:4] = 255
    assert ann.save(1, mended, 0).json()["version"] == 1
    assert [entry["pixels"] for entry in ann.get("/frames/0/history")] == [0, 0]
    opened = open_dataset(DataConfig(root=str(out)))
    assert [*opened.names] == ["imgs/0001", "imgs/0002"]
    assert opened.classes.names == COMMA10K.names
    assert np.array_equal(opened[0].label, seen)
    assert np.array_equal(opened[1].label, mended)
    assert np.array_equal(opened[0].image, pixels((data / "imgs/0001.png").read_bytes()))
    assert main(["data", "check", str(out), "--workers", "1"]) == 0
    assert state_of(data) == before


def test_training_reads_the_edits(open_desk: OpenDesk, comma: Path, tmp_path: Path) -> None:
    ann, out = open_desk(comma, tmp_path / "out"), tmp_path / "out"
    label = ann.label(0)
    label[:20] = 2
    ann.save(0, label, 0)
    ours, theirs = (open_training_set(DataConfig(root=str(root))) for root in (out, comma))
    assert [*ours.names] == [*theirs.names] == ["0001", "0002", "0003"]
    assert np.array_equal(ours[0].label, label)
    assert np.array_equal(ours[0].image, theirs[0].image)
    assert np.array_equal(ours[1].label, theirs[1].label)


def reopen(ann: Editor, open_desk: OpenDesk, data: Path, out: Path) -> Editor:
    ann.desk.close()  # type: ignore[attr-defined]
    return open_desk(data, out)


@pytest.mark.parametrize("damage", ["older", "missing", "cut off", "of another size"])
def test_a_mask_that_lags_behind_the_journal_is_written_again(
    damage: str, open_desk: OpenDesk, comma: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    mask = out / "masks" / "0001.png"
    ann = open_desk(comma, out)
    drawn, label = mask.read_bytes(), np.full((40, 56), 2, np.uint8)
    ann.save(0, label, 0)
    saved = mask.read_bytes()
    if damage == "older":
        mask.write_bytes(drawn)
    elif damage == "missing":
        mask.unlink()
    elif damage == "cut off":
        mask.write_bytes(saved[:-30])
    else:
        PIL.Image.new("RGB", (8, 8), (64, 32, 32)).save(mask)
    ann = reopen(ann, open_desk, comma, out)
    assert mask.read_bytes() == saved
    assert ann.get("/frames/0")["version"] == 1


def test_what_another_program_wrote_becomes_a_version(
    open_desk: OpenDesk, comma: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ann = open_desk(comma, out)
    ann.save(0, np.full((40, 56), 2, np.uint8), 0)
    mask = out / "masks" / "0001.png"
    for version in (2, 4):  # while the desk is closed, and while it is open
        if version == 2:
            ann.desk.close()  # type: ignore[attr-defined]
        PIL.Image.new("RGB", (56, 40), tuple(COLOURS[version].tolist())).save(mask)
        if version == 2:
            ann = open_desk(comma, out)
            assert ann.get("/frames/0")["version"] == 2
            assert ann.save(0, np.zeros((40, 56), np.uint8), 2).status_code == 200
        else:
            assert ann.save(0, np.ones((40, 56), np.uint8), 3).status_code == 409
        assert (ann.label(0, version) == version).all()


def test_a_second_server_is_refused(open_desk: OpenDesk, comma: Path, tmp_path: Path) -> None:
    ann = open_desk(comma, tmp_path / "out")
    frames = open_frames(DataConfig(root=str(comma)), "all", COMMA10K)
    with pytest.raises(InputError, match="another server has it open"):
        Desk(frames, tmp_path / "out", {})
    assert ann.save(0, np.zeros((40, 56), np.uint8), 0).status_code == 200
    ann.desk.close()  # type: ignore[attr-defined]
    with Desk(frames, tmp_path / "out", {}) as desk:
        assert desk.frame(0)["version"] == 1


def test_folders_of_other_things_are_refused_and_left_as_they_are(
    open_desk: OpenDesk, write_comma10k: Any, comma: Path, tmp_path: Path
) -> None:
    frames = open_frames(DataConfig(root=str(comma)), "all", COMMA10K)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    open_desk(comma, tmp_path / "out").desk.close()  # type: ignore[attr-defined]
    write_comma10k(tmp_path / "others", ["1000"])
    others, _ = open_whole(DataConfig(root=str(tmp_path / "others")))
    before = state_of(tmp_path)
    for dataset, folder, message in (
        (frames, mine, "exists"),
        (frames, comma, "exists"),
        (frames, comma / "imgs" / "x", "is inside"),
        (frames, tmp_path, "exists"),
        (others, tmp_path / "out", "holds the edits of"),
    ):
        with pytest.raises(InputError, match=message):
            Desk(dataset, folder, {})
    (comma / "imgs" / "0009.png").rename(comma / "imgs" / "0008.png")
    (comma / "masks" / "0009.png").rename(comma / "masks" / "0008.png")
    with pytest.raises(InputError, match="frames came to"):
        Desk(open_whole(DataConfig(root=str(comma)))[0], tmp_path / "out", {})
    (comma / "imgs" / "0008.png").rename(comma / "imgs" / "0009.png")
    (comma / "masks" / "0008.png").rename(comma / "masks" / "0009.png")
    assert state_of(tmp_path) == before


def test_a_link_out_of_the_folder_is_not_followed(
    open_desk: OpenDesk, comma: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ann = open_desk(comma, out)
    shutil.rmtree(out / "masks")
    (out / "masks").symlink_to(comma / "masks")
    before = state_of(comma)
    answer = ann.save(0, np.zeros((40, 56), np.uint8), 0)
    assert answer.status_code == 422
    assert "leads out" in answer.json()["detail"]
    assert state_of(comma) == before


def test_each_folder_of_edits_has_an_id_that_stays(
    comma: Path, write_comma10k: Any, tmp_path: Path
) -> None:
    """Browsers keep unsaved changes by it: those of other data must not come back here."""
    write_comma10k(tmp_path / "b" / "data", ["0001", "0002", "0003", "0009"])
    ids = []
    for data, out in ((comma, "x"), (tmp_path / "b" / "data", "y"), (comma, "x")):
        frames = open_frames(DataConfig(root=str(data)), "all", COMMA10K)
        with Desk(frames, tmp_path / out, {}) as desk:
            ids.append(desk.info()["id"])
    assert ids[0] == ids[2] != ids[1]
