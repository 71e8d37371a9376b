"""`check` finds exactly what was planted, whatever it is mixed with, and nothing on sound data."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from dashseg.config import DataConfig
from dashseg.curate.check import CODES, Report, check
from dashseg.curate.stats import collect
from dashseg.data import open_dataset
from dashseg.errors import InputError
from dashseg.scenes import synthesise

Make = Callable[..., Any]
PALETTE = 'classes: {road: "#402020", car: "#00ff66", sky: "#808060"}\nignore: ["#000000"]\n'
COLOURS = ("#402020", "#00ff66", "#808060", "#000000")


def run(root: Path, **options: Any) -> Report:
    return check(str(root), **{"workers": 1, **options})


def found(root: Path, **options: Any) -> set[tuple[str, str]]:
    pairs = [(problem.code, problem.file) for problem in run(root, **options).problems]
    assert len(pairs) == len(set(pairs)), "one problem was reported twice"
    return set(pairs)


@pytest.mark.parametrize("seed", range(3))
def test_exactly_what_was_planted_is_found(broken: Make, seed: int) -> None:
    plants = broken(seed, 48)
    plants.damage(0.6)
    report = run(plants.root)
    assert {(p.code, p.file) for p in report.problems} == plants.planted
    kinds = {p.file: p.numbers["kind"] for p in report.problems if p.code == "unknown-colour"}
    assert kinds == plants.kinds


def test_every_code_at_once_is_found_alike_by_any_number_of_workers(broken: Make) -> None:
    plants = broken(10, 70)
    plants.damage(1)
    unplanted = {"absent-class", "interpolated-ids"}  # this data set has no palette and no ids
    assert {code for code, _ in plants.planted} == set(CODES) - unplanted
    report = run(plants.root)
    assert {(p.code, p.file) for p in report.problems} == plants.planted
    assert json.dumps(run(plants.root, workers=2).to_json()) == json.dumps(report.to_json())


def test_frames_of_extreme_shapes_are_checked_and_counted(tmp_path: Path) -> None:
    sizes = ((1, 1), (1, 10_000), (10_000, 1), (15, 400), (25, 400), (4_000, 200))
    colours = np.array([[0x40, 0x20, 0x20], [0, 0xFF, 0x66]], np.uint8)
    for number, (height, width) in enumerate(sizes):
        label = (np.arange(height)[:, None] // 7 + np.arange(width) // 9 + number) % 2
        for folder, pixels in (("images", 200 - 40 * colours[label]), ("masks", colours[label])):
            (tmp_path / folder).mkdir(exist_ok=True)
            PIL.Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    (tmp_path / "palette.yaml").write_text(PALETTE)
    assert found(tmp_path) == {("single-class", "masks/0.png"), ("absent-class", "palette.yaml")}
    statistics = collect(open_dataset(DataConfig(root=str(tmp_path)), "all"), 1, use_cache=False)
    assert statistics.images == len(sizes)


def test_a_class_that_no_mask_shows_is_named(tmp_path: Path) -> None:
    """Masks of 0 and 255, two classes: 255 is ignored, so the second class is nowhere."""
    for folder, size in (("images", (40, 56, 3)), ("masks", (40, 56))):
        (tmp_path / folder).mkdir()
        pixels = np.random.default_rng(0).integers(0, 2, size, np.uint8) * 255
        PIL.Image.fromarray(pixels).save(tmp_path / folder / "a.png")
    palette = 'classes: {background: "#000000", road: "#ffffff"}\nmasks: id\n'
    (tmp_path / "palette.yaml").write_text(palette)
    (problem,) = run(tmp_path).problems
    assert (problem.code, problem.file) == ("absent-class", "palette.yaml")
    assert problem.detail.startswith("no mask shows road; 255 is ignored unless")
    assert problem.to_json()["classes"] == ["road"]
    (tmp_path / "palette.yaml").write_text(palette + "ids: [0, 255]\n")
    assert found(tmp_path) == set()


@pytest.mark.skipif(sys.platform != "linux", reason="others allow no such names")
def test_names_of_other_encodings_and_forms(tmp_path: Path, write_folder: Make) -> None:
    write_folder(tmp_path, ["caf\u00e9", "b"], PALETTE, COLOURS)
    (tmp_path / "masks/caf\u00e9.png").rename(tmp_path / "masks/cafe\u0301.png")
    assert found(tmp_path) == set()
    (tmp_path / "images/b.jpg").rename(tmp_path / "images" / os.fsdecode(b"b\xe9.jpg"))
    expected = {("bad-name", "images/b\\xe9.jpg"), ("missing-image", "masks/b.png")}
    assert found(tmp_path) == expected


def test_grey_images_and_pipes(tmp_path: Path, write_folder: Make) -> None:
    """Night cameras are grey, which is no problem; a pipe is listed and never opened."""
    write_folder(tmp_path, ["a", "b"], PALETTE, COLOURS)
    with PIL.Image.open(tmp_path / "images" / "a.jpg") as file:
        grey = file.convert("L")
    grey.save(tmp_path / "images" / "a.jpg")
    (tmp_path / "images" / "b.jpg").unlink()
    os.mkfifo(tmp_path / "images" / "b.jpg")
    assert found(tmp_path) == {("unreadable", "images/b.jpg")}


def test_json_has_the_exact_numbers(broken: Make) -> None:
    plants = broken(3, 12)
    mask = sorted(plants.labels)[4]
    with PIL.Image.open(plants.mask(mask)) as file:
        pixels = np.array(file)
    pixels[:2, :50] = 0x12, 0x34, 0x56
    plants.save(plants.mask(mask), pixels)
    values = run(plants.root).to_json()
    assert (values["schema"], values["root"], values["pairs"]) == (1, str(plants.root), 12)
    (problem,) = values["problems"]
    assert (problem["code"], problem["file"]) == ("unknown-colour", f"masks/{mask}.png")
    assert (problem["kind"], problem["pixels"], problem["most"]) == ("own", 100, {"#123456": 100})


def test_drawn_scenes_are_clean(tmp_path: Path) -> None:
    synthesise(tmp_path / "scenes", 8, 3, workers=1, size=(218, 291))
    assert found(tmp_path / "scenes") == set()


def test_frames_that_were_all_resized_are_no_problem_but_a_single_one_is(broken: Make) -> None:
    plants = broken(5, 10)  # 240x160, where comma10k's are 1164x874
    assert found(plants.root) == set()
    plants.plant_unexpected_size()
    assert found(plants.root) == plants.planted


def test_names_of_ones_own_in_comma10ks_layout_are_no_problem(
    tmp_path: Path, write_comma10k: Make
) -> None:
    write_comma10k(tmp_path, [f"drive_{i:03}" for i in range(6)])
    assert found(tmp_path) == set()


def test_an_alpha_channel_that_is_opaque_everywhere_is_counted_but_no_problem(
    broken: Make,
) -> None:
    plants = broken(6, 6)
    with PIL.Image.open(plants.mask(plants.fresh[0])) as file:
        file.convert("RGBA").save(plants.mask(plants.fresh[0]))
    report = run(plants.root)
    assert (report.problems, report.opaque_alpha()) == ([], 1)


def test_every_part_of_a_clone_is_read_with_its_own_classes(
    tmp_path: Path, write_comma10k: Make
) -> None:
    write_comma10k(tmp_path, ["a", "b"])
    write_comma10k(tmp_path, ["00001", "00002"], part="imgsd", size=(48, 80))
    assert found(tmp_path) == set()
    driver = (tmp_path / "masksd" / "00001.png").read_bytes()  # has the driver's sixth class
    write_comma10k(tmp_path, ["00009"], size=(48, 80))
    (tmp_path / "masks" / "00009.png").write_bytes(driver)
    assert ("unknown-colour", "masks/00009.png") in found(tmp_path)
    assert found(tmp_path, parts=("imgsd",)) == set()


def test_a_folder_of_ones_own_frames(tmp_path: Path, write_folder: Make) -> None:
    names = [f"{part}/{part[0]}{i}" for part in ("train", "val") for i in range(6)]
    write_folder(tmp_path, names, PALETTE, COLOURS)
    assert found(tmp_path) == set()
    images, masks = tmp_path / "images", tmp_path / "masks"
    (masks / "train" / "t0.png").rename(masks / "train" / "t0 (1).png")
    (masks / "train" / "t1.png").rename(tmp_path / "images" / "train" / "t1.png")
    (images / "train" / "t2.jpg").rename(images / "train" / "t2.JPG")  # any case is read
    (images / "val" / "v0.jpg").unlink()
    (images / "val" / "Thumbs.db").write_bytes(b"x")
    with PIL.Image.open(masks / "val" / "v3.png") as file:
        file.convert("L").save(masks / "val" / "v3.png")
    assert found(tmp_path) == {
        ("bad-name", "masks/train/t0 (1).png"),
        ("misplaced-file", "images/train/t1.png"),
        ("missing-image", "masks/val/v0.png"),
        ("stray-file", "images/val/Thumbs.db"),
        ("wrong-depth", "masks/val/v3.png"),
    }


def test_two_images_of_one_name_are_a_bad_name(tmp_path: Path, write_folder: Make) -> None:
    write_folder(tmp_path, ["a", "b", "c"], PALETTE, COLOURS)
    with PIL.Image.open(tmp_path / "images" / "b.jpg") as file:
        file.rotate(180).save(tmp_path / "images" / "a.png")
    hidden = tmp_path / "images" / ".checkpoints" / "a.png"
    hidden.parent.mkdir()
    hidden.write_bytes(b"")
    assert found(tmp_path) == {
        ("bad-name", "images/a.png"),
        ("stray-file", "images/.checkpoints/a.png"),
    }


def test_masks_that_hold_ids_are_grey_by_design(tmp_path: Path, write_camvid11: Make) -> None:
    names = [f"{i:03}" for i in range(6)]
    stored = write_camvid11(tmp_path, {"train": names, "val": names[:3]})
    duplicates = {("duplicate-content", f"val/{name}.jpg") for name in names[:3]}
    duplicates |= {("duplicate-content", f"valannot/{name}.png") for name in names[:3]}
    assert found(tmp_path) == duplicates  # the fixture draws by name: in train and val alike
    for name in names[:3]:
        (tmp_path / "val" / f"{name}.jpg").unlink()
        (tmp_path / "valannot" / f"{name}.png").unlink()
    annotated = tmp_path / "trainannot"
    palette = PIL.Image.fromarray(stored["train/001"])
    palette.putpalette(np.random.default_rng(0).bytes(768))
    palette.save(annotated / "001.png")
    PIL.Image.fromarray(stored["train/002"]).convert("RGB").save(annotated / "002.png")
    PIL.Image.fromarray(stored["train/003"] | 0x40).save(annotated / "003.png")
    PIL.Image.fromarray(stored["train/004"] > 5).save(annotated / "004.png")
    assert found(tmp_path) == {
        ("palette-png", "trainannot/001.png"),
        ("wrong-depth", "trainannot/002.png"),
        ("unknown-colour", "trainannot/003.png"),
        ("wrong-depth", "trainannot/004.png"),
    }


def test_camvids_masks_are_known_by_their_ending(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colours = np.array([(128, 64, 128), (64, 0, 128), (128, 128, 128), (0, 0, 0)], np.uint8)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for i in range(6):
        label = np.kron(rng.integers(0, 4, (5, 7)), np.ones((8, 8), int))
        frame = rng.integers(0, 255, (40, 56, 3), np.uint8)
        PIL.Image.fromarray(frame).save(tmp_path / "images" / f"0006R0_f0{i:04}.jpg")
        mask = tmp_path / "labels" / f"0006R0_f0{i:04}_L.png"
        PIL.Image.fromarray(colours[label]).save(mask)
    assert found(tmp_path) == set()
    mask.rename(tmp_path / "images" / mask.name)
    assert found(tmp_path) == {("misplaced-file", f"images/{mask.name}")}
    (tmp_path / "images" / mask.name).rename(tmp_path / mask.name)
    assert found(tmp_path) == {("misplaced-file", mask.name)}
    (tmp_path / mask.name).rename(mask.with_name(f"{mask.stem} (1).png"))
    assert found(tmp_path) == {("bad-name", f"labels/{mask.stem} (1).png")}


def test_links_are_followed(broken: Make, tmp_path: Path) -> None:
    plants = broken(7, 5)
    linked = tmp_path / "linked"
    (linked / "masks").mkdir(parents=True)
    (linked / "imgs").symlink_to(plants.root / "imgs")
    for path in (plants.root / "masks").iterdir():
        (linked / "masks" / path.name).symlink_to(path)
    report = run(linked)
    assert (report.pairs, report.problems) == (5, [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_unreadable(broken: Make) -> None:
    plants = broken(8, 4)
    path = plants.image(plants.fresh[0])
    path.chmod(0)
    assert found(plants.root) == {("unreadable", path.relative_to(plants.root).as_posix())}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "cityscapes"}, "expected comma10k, camvid, folder, synthetic"),
        ({"parts": ("imgs2",)}, "imgs2: no such folder"),
        ({"kind": "folder"}, "this layout has images/ and masks/"),
    ],
)
def test_what_cannot_be_checked_is_an_error(
    broken: Make, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(broken(9, 1).root, **options)


def test_a_folder_without_frames_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "imgs").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(InputError, match="no images found"):
        run(tmp_path)


def test_real_frames_are_clean(shared_data: Path) -> None:
    assert found(shared_data / "comma10k_sample") == set()


def test_real_camvid_masks_are_clean(shared_data: Path, tmp_path: Path) -> None:
    """A few of each sequence; all 808 were checked by hand."""
    for root, folders, step in (
        ("camvid_720x960", ("images", "labels"), 40),
        ("camvid_360x480", ("train", "trainannot"), 40),
    ):
        for folder in folders:
            copy = tmp_path / root / folder
            copy.mkdir(parents=True)
            for path in sorted((shared_data / root / folder).iterdir())[::step]:
                (copy / path.name).symlink_to(path)
        assert found(tmp_path / root) == set()
