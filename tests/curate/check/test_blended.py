"""Id masks that were resized with interpolation, and masks of thin things that were drawn."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from dashseg.config import DataConfig
from dashseg.curate.check import check, repair
from dashseg.curate.check.blended import without_blends
from dashseg.data import open_dataset
from dashseg.labels import Label
from dashseg.scenes import render_scene

PALETTE = "masks: id\nclasses:\n" + "".join(f"  c{i}: '#0000{i + 16:x}'\n" for i in range(12))


def spread(label: Label) -> Label:
    """Five classes as ids of twelve: ids lie between those of neighbours, as in CamVid."""
    return np.array([3, 10, 0, 6, 8], np.uint8)[label]


def scenes(count: int, size: tuple[int, int] = (218, 290)) -> list[Label]:
    return [spread(render_scene(9, index, size).label) for index in range(count)]


def out_of_place(label: Label, right: Label) -> int:
    """Pixels whose id the right label has nowhere within two pixels."""
    near = np.ones((5, 5), np.uint8)
    wrong = 0
    for value in np.unique(label):
        there = cv2.dilate((right == value).astype(np.uint8), near)
        wrong += int(np.count_nonzero((label == value) & (there == 0)))
    return wrong


@pytest.mark.parametrize("by", [0.5, 0.7, 0.9, 1.3, 2, 4])
def test_ids_left_by_interpolation_become_those_of_the_nearer_side(by: float) -> None:
    way = cv2.INTER_AREA if by < 0.6 else cv2.INTER_LINEAR
    for label in scenes(2):
        resized = cv2.resize(label, None, fx=by, fy=by, interpolation=way)
        size = resized.shape[1], resized.shape[0]
        right = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT)
        settled, changed = without_blends(resized)
        assert changed == np.count_nonzero(settled != resized) > 0
        # Of lines too thin to keep a pixel of their own id, nothing tells what they were.
        assert out_of_place(settled, right) < 0.25 * out_of_place(resized, right)


def test_masks_as_they_were_drawn_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    for label in scenes(6):
        order = np.r_[rng.permutation(12), np.arange(12, 256)].astype(np.uint8)
        for drawn in (label, order[label], cv2.resize(label, (150, 112), interpolation=6)):
            assert without_blends(drawn)[1] == 0


def test_real_masks_as_they_were_drawn_stay_as_they_are(shared_data: Path) -> None:
    flagged = total = 0
    for root in ("camvid_360x480", "camvid_720x960", "comma10k_sample"):
        frames = open_dataset(DataConfig(root=str(shared_data / root)))
        for index in range(0, len(frames), 8 if len(frames) > 8 else 1):
            total += 1
            flagged += without_blends(frames.label(index))[1] > 0
    assert (flagged, total > 100) == (0, True)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 10_000), (10_000, 1), (64, 64)])
def test_pictures_of_any_shape_are_no_interpolated_masks(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    slope = np.add(*np.indices(size)).astype(np.uint8)
    for values in (rng.integers(0, 256, size, np.uint8), np.zeros(size, np.uint8), slope):
        assert without_blends(values)[1] == 0


def test_check_finds_resized_id_masks_and_fix_mends_them(tmp_path: Path) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    root.mkdir()
    (root / "palette.yaml").write_text(PALETTE)
    labels = {}
    for index in range(4):
        scene = render_scene(9, index, (218, 290))
        labels[f"{index}.png"] = label = spread(scene.label)
        if index == 0:
            label[:9] = 255  # ignored; between that and the next id lie values of no class
        for folder, pixels in (("images", scene.image), ("masks", label)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(pixels).save(root / folder / f"{index}.png")
    for name in ("0.png", "1.png"):
        small = cv2.resize(labels[name], (145, 109), interpolation=cv2.INTER_NEAREST_EXACT)
        bad = cv2.resize(small, (290, 218), interpolation=cv2.INTER_LINEAR)
        PIL.Image.fromarray(bad).save(root / "masks" / name)
    report = check(str(root), workers=1)
    problems = [problem for problem in report.problems if problem.code != "absent-class"]
    assert [(p.code, p.file, p.severity, p.repairable) for p in problems] == [
        ("interpolated-ids", f"masks/{name}", "error", True) for name in ("0.png", "1.png")
    ]
    repairs = repair(report, out, 1)
    assert repairs.frames == 4
    assert {p.code for p in check(str(out), workers=1).problems} <= {"absent-class"}
    for name, label in labels.items():
        mended = np.asarray(PIL.Image.open(out / "masks" / name))
        assert (mended != label).mean() <= (0 if name > "1.png" else 0.02)
