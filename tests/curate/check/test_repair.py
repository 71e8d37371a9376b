"""A repaired copy: what is sound as it was, what can be repaired as it should be, and no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest

from dashseg.config import DataConfig
from dashseg.curate.check import check, repair
from dashseg.curate.check.problems import WARNINGS
from dashseg.data import open_dataset
from dashseg.errors import InputError

Make = Callable[..., Any]
Tree = Callable[[Path], dict[str, str]]


def fix(root: Path, out: Path, workers: int = 1) -> Any:
    return repair(check(str(root), workers=1), out, workers)


@pytest.mark.parametrize("seed", [20, 21])
def test_the_copy_holds_every_frame_that_can_be_saved_and_has_no_errors(
    broken: Make, tree: Tree, tmp_path: Path, seed: int
) -> None:
    plants = broken(seed, 50)
    plants.damage(0.7)
    before, out = tree(plants.root), tmp_path / "out"
    repairs = fix(plants.root, out)
    assert tree(plants.root) == before
    left = check(str(out), workers=1).problems  # what may be right is kept, and still reported
    assert {(p.code, p.file) for p in left} == {
        (code, file) for code, file in plants.planted if code in WARNINGS - {"stray-file"}
    }
    saved = set(plants.labels) - plants.lost
    dataset = open_dataset(DataConfig(root=str(out)))
    assert (set(dataset.names), repairs.frames) == (saved, len(saved))
    for index, name in enumerate(dataset.names):
        right = (dataset.label(index) == plants.labels[name]).mean()
        assert right == 1 or (name in plants.smeared and right > 0.999), name
    listed = json.loads((out / "repairs.json").read_text())
    left_out = " ".join(file for item in listed["left_out"] for file in item["files"])
    for name in plants.lost:
        assert name in left_out or f"holiday{name[:4]}" in left_out, name


def test_sound_files_are_copied_byte_for_byte(broken: Make, tree: Tree, tmp_path: Path) -> None:
    plants = broken(22, 6)
    (plants.root / "files_trainable").write_text("masks/a.png\n")
    (plants.root / "LICENSE").write_text("MIT")
    plants.plant_palette()
    (changed,) = [file for _, file in plants.planted]
    fix(plants.root, tmp_path / "out")
    before, after = tree(plants.root), tree(tmp_path / "out")
    assert set(after) - set(before) == {"repairs.json"}
    assert {file for file in before if before[file] != after[file]} == {changed}


def test_repairs_are_listed_with_what_was_done(broken: Make, tmp_path: Path) -> None:
    plants = broken(23, 8)
    plants.plant_palette()
    plants.plant_missing_mask()
    plants.plant_stray_in_root()
    fix(plants.root, tmp_path / "out")
    listed = json.loads((tmp_path / "out" / "repairs.json").read_text())
    assert (listed["schema"], listed["source"], listed["frames"]) == (1, str(plants.root), 7)
    file_of = {code: file for code, file in plants.planted}
    assert listed["repaired"] == [
        {"file": file_of["palette-png"], "code": "palette-png", "done": "palette expanded"},
        {"file": ".DS_Store", "code": "stray-file", "done": "not copied"},
    ]
    (left_out,) = listed["left_out"]
    assert left_out["files"] == [file_of["missing-mask"]]
    assert left_out["codes"] == ["missing-mask"]


def test_what_a_repair_brings_to_light_is_left_out_as_well(broken: Make, tmp_path: Path) -> None:
    """Two masks that are the same once the edges of one are clean."""
    plants = broken(24, 8)
    first, second = plants.take(), plants.take()
    with PIL.Image.open(plants.image(first)) as image:  # another picture, but the mask fits it
        plants.save(plants.image(second), np.array(image) ^ 1)
    with PIL.Image.open(plants.mask(first)) as mask:
        mask.filter(PIL.ImageFilter.GaussianBlur(0.4)).save(plants.mask(second))
    report = check(str(plants.root), workers=1)
    assert [problem.code for problem in report.problems] == ["unknown-colour"]
    repairs = repair(report, tmp_path / "out", 1)
    assert repairs.frames == 6
    assert ["duplicate-content"] in [item["codes"] for item in repairs.left_out]
    assert check(str(tmp_path / "out"), workers=1).problems == []


def test_ids_in_a_palette_or_three_equal_channels_are_stored_plainly(
    tmp_path: Path, write_camvid11: Make
) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    stored = write_camvid11(root, {"train": ["a", "b", "c", "d"]})
    palette = PIL.Image.fromarray(stored["train/a"])
    palette.putpalette(np.random.default_rng(0).bytes(768))
    palette.save(root / "trainannot" / "a.png")
    PIL.Image.fromarray(stored["train/b"]).convert("RGB").save(root / "trainannot" / "b.png")
    fix(root, out)
    for name in "abcd":
        with PIL.Image.open(out / "trainannot" / f"{name}.png") as mask:
            assert mask.mode == "L"
            assert np.array_equal(np.asarray(mask), stored[f"train/{name}"])


def test_the_palette_and_subfolders_of_ones_own_data_are_kept(
    tmp_path: Path, write_folder: Make, tree: Tree
) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    palette = 'classes: {road: "#402020", car: "#00ff66"}\n'
    write_folder(root, ["city/a", "city/b", "c"], palette, ("#402020", "#00ff66"))
    (root / "masks" / "city" / "a.png").rename(root / "a.png")
    fix(root, out)
    assert set(tree(out)) == {
        *("palette.yaml", "repairs.json", "images/c.jpg", "masks/c.png"),
        *("images/city/a.jpg", "images/city/b.jpg", "masks/city/a.png", "masks/city/b.png"),
    }


def test_the_copy_is_the_same_for_any_number_of_workers(
    broken: Make, tree: Tree, tmp_path: Path
) -> None:
    plants = broken(25, 30)
    plants.damage(0.4)
    fix(plants.root, tmp_path / "one", 1)
    fix(plants.root, tmp_path / "two", 2)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_copy_in_or_over_something_is_refused(broken: Make, tmp_path: Path) -> None:
    plants = broken(26, 2)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="taken exists"):
        fix(plants.root, tmp_path / "taken")
    with pytest.raises(InputError, match="is inside"):
        fix(plants.root, plants.root / "imgs" / "out")
    assert not (plants.root / "imgs" / "out").exists()


def test_nothing_to_save_is_an_error_and_writes_nothing(broken: Make, tmp_path: Path) -> None:
    plants = broken(27, 2)
    plants.plant_unreadable()
    plants.plant_missing_mask()
    with pytest.raises(InputError, match="nothing is copied"):
        fix(plants.root, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken27"]


def test_ctrl_c_leaves_nothing(broken: Make, tmp_path: Path) -> None:
    plants = broken(28, 6)

    def stop(done: int, count: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repair(check(str(plants.root), workers=1), tmp_path / "out", 1, stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken28"]


FIX = """
import sys
from pathlib import Path
from dashseg.curate.check import check, repair
from dashseg.errors import InputError

disk = Path(sys.argv[1])
try:
    repair(check(sys.argv[2], workers=1), disk / "out", 1)
except InputError as error:
    print("error:", error)
print(sorted(path.name for path in disk.iterdir()))
"""


def test_a_full_disk_is_an_error_that_leaves_nothing(
    broken: Make, in_small_disk: Callable[..., Any]
) -> None:
    plants = broken(29, 4)
    result = in_small_disk(FIX, plants.root, size="128k")
    error, left = result.stdout.splitlines()
    assert error.startswith("error: cannot write") and "No space left on device" in error
    assert left == "[]", result.stderr


@pytest.mark.parametrize("how", ["bilinear", "lanczos", "blur"])
def test_real_masks_come_back_from_antialiasing(
    shared_data: Path, tmp_path: Path, how: str
) -> None:
    """The smear touches 1 to 5 % of the pixels; measured: 99.8 % or more of them come right."""
    root = tmp_path / "data"
    sample = shared_data / "comma10k_sample"
    (root / "masks").mkdir(parents=True)
    (root / "imgs").symlink_to(sample / "imgs")
    smeared: list[Any] = []
    for path in sorted((sample / "masks").iterdir()):
        with PIL.Image.open(path) as file:
            mask = file.convert("RGB")
        if len(smeared) < 3:
            if how == "blur":
                mask = mask.filter(PIL.ImageFilter.GaussianBlur(0.8))
            else:
                size = round(mask.width * 0.8), round(mask.height * 0.8)
                way = PIL.Image.Resampling[how.upper()]
                mask = mask.resize(size, way).resize(mask.size, way)
            smeared.append(path.name)
        mask.save(root / "masks" / path.name)
    report = check(str(root), workers=1)
    assert [(p.code, Path(p.file).name, p.numbers["kind"]) for p in report.problems] == [
        ("unknown-colour", name, "antialiased") for name in smeared
    ]
    repair(report, tmp_path / "out", 1)
    right = touched = 0
    for name in smeared:
        before, after, drawn = (
            np.asarray(PIL.Image.open(folder / name).convert("RGB"))
            for folder in (root / "masks", tmp_path / "out" / "masks", sample / "masks")
        )
        wrong = (before != drawn).any(axis=2)
        touched += int(wrong.sum())
        right += int((after == drawn).all(axis=2)[wrong].sum())
    assert right > 0.995 * touched > 10_000
