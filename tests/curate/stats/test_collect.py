"""A whole data set counted, kept, and counted anew when a file has changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from dashseg.config import DataConfig
from dashseg.curate.stats import Statistics, collect
from dashseg.data import open_dataset
from dashseg.errors import InputError

DEVICES = ["45aaf4dc9a2f3a8c", "0085e9e41513078a"]
NAMES = [f"{i:04}_{DEVICES[i % 2]}_2018-07-{i + 1:02}--08-15-59_{i}_{i}" for i in range(9)]
COLOURS = np.array(
    [[0x40, 0x20, 0x20], [255, 0, 0], [0x80, 0x80, 0x60], [0, 255, 0x66], [0xCC, 0, 255]], np.uint8
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def labels(root: Path, write_comma10k: Any) -> dict[str, np.ndarray]:
    return write_comma10k(root, NAMES)


def counted(root: Path, **arguments) -> Statistics:
    return collect(open_dataset(DataConfig(root=str(root))), 1, **arguments)


def spoil(file: Path) -> None:
    """Make a file undecodable in a way that neither its size, its time nor its header tells."""
    before, data = file.stat(), bytearray(file.read_bytes())
    data[60:-16] = bytes(len(data) - 76)
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_shares_and_weights_are_those_of_the_labels(
    root: Path, labels: dict[str, np.ndarray]
) -> None:
    found = counted(root)
    pixels = np.concatenate([label.ravel() for label in labels.values()])
    share = np.array([(pixels == c).mean() for c in range(5)])
    frequency = [
        np.mean([(label == c).mean() for label in labels.values() if c in label]) for c in range(5)
    ]
    for c, row in enumerate(found.classes):
        assert row.pixels == (pixels == c).sum() and row.share == pytest.approx(share[c])
        assert row.frames == sum(c in label for label in labels.values())
        assert row.frame_share == row.frames / len(labels)
        assert row.enet_weight == pytest.approx(1 / np.log(1.02 + share[c]))
        assert row.median_frequency_weight == pytest.approx(np.median(frequency) / frequency[c])
    assert found.images == 9 and found.pixels == pixels.size and found.ignored_pixels == 0
    assert found.sizes == {(40, 56): 9}
    assert found.names.to_dict()["devices"]["count"] == 2


def test_brightness_is_pillows_luma(root: Path, labels: dict[str, np.ndarray]) -> None:
    found = counted(root)
    lumas = [
        np.asarray(PIL.Image.open(root / "imgs" / f"{name}.png").convert("L")).mean()
        for name in NAMES
    ]
    assert found.mean_luma == pytest.approx(np.mean(lumas), abs=0.5)  # of whole grey levels
    assert found.groups["bright"] == sum(luma >= 70 for luma in lumas)
    bins, _ = np.histogram(lumas, 16, (0, 256))
    assert abs(np.array(found.luma_frames).reshape(16, 4).sum(1) - bins).sum() <= 2


def test_ignored_pixels_are_told_and_left_out(tmp_path: Path, write_camvid11: Any) -> None:
    stored = write_camvid11(tmp_path / "data", {"train": ["0001TP_006690"], "val": ["x"]})
    found = counted(tmp_path / "data")
    ids = np.concatenate([label.ravel() for label in stored.values()])
    assert found.ignored_share == pytest.approx((ids == 11).mean())
    assert [row.pixels for row in found.classes] == np.bincount(ids, minlength=12)[:11].tolist()
    assert sum(row.share or 0 for row in found.classes) == pytest.approx(1)
    assert found.names.unparsed == 1


def test_labels_that_ignore_everything_have_no_shares_and_no_weights(
    tmp_path: Path, write_folder: Any
) -> None:
    palette = 'classes: {a: "#000000"}\nignore: ["#ffffff"]\n'
    write_folder(tmp_path / "data", ["x"], palette, ["#ffffff"])
    found = counted(tmp_path / "data")
    assert found.ignored_share == 1
    row = found.classes[0]
    assert row.share is row.enet_weight is row.median_frequency_weight is None
    assert row.frames == 0 and not row.heat_map.any()


def test_two_processes_find_what_one_does(root: Path, labels: dict[str, np.ndarray]) -> None:
    dataset = open_dataset(DataConfig(root=str(root)))
    done = []
    both = collect(dataset, 2, use_cache=False, on_progress=lambda *state: done.append(state))
    assert both.to_dict() == counted(root, use_cache=False).to_dict()
    assert done == [(n, 9) for n in range(1, 10)]


def test_a_second_run_reads_no_frame(root: Path, labels: dict[str, np.ndarray]) -> None:
    first = counted(root)
    notes: list[Any] = []
    for file in (*root.glob("imgs/*"), *root.glob("masks/*")):
        spoil(file)
    again = counted(root, on_note=notes.append, on_progress=lambda *_: pytest.fail("it counted"))
    assert again.to_dict() == first.to_dict()
    assert len(notes) == 1 and "no frame has changed" in notes[0]
    with pytest.raises(InputError, match="0000_"):
        counted(root, use_cache=False)


def test_a_mask_edited_to_the_same_size_is_counted_anew(
    root: Path, labels: dict[str, np.ndarray], cache: Path
) -> None:
    file = root / "masks" / f"{NAMES[0]}.png"

    def paint(class_id: int) -> None:
        pixels = np.broadcast_to(COLOURS[class_id], (40, 56, 3))
        PIL.Image.fromarray(pixels).save(file, compress_level=0)

    paint(4)
    before, size, time = counted(root), file.stat().st_size, file.stat().st_mtime_ns
    paint(1)
    os.utime(file, ns=(time, time + 1000))
    assert file.stat().st_size == size
    after = counted(root)
    moved = [b.pixels - a.pixels for a, b in zip(before.classes, after.classes, strict=True)]
    assert moved == [0, 40 * 56, 0, 0, -40 * 56]
    assert len(list(cache.rglob("*.json"))) == 1  # the older sums are gone


def test_a_damaged_cache_is_made_anew(
    root: Path, labels: dict[str, np.ndarray], cache: Path
) -> None:
    first = counted(root).to_dict()
    (kept,) = cache.rglob("*.json")
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    notes: list[str] = []
    assert counted(root, on_note=notes.append).to_dict() == first
    assert notes == [] and kept.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_done_without_and_said(
    root: Path, labels: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DASHSEG_CACHE", str(tmp_path / "file" / "cache"))
    notes: list[str] = []
    assert counted(root, on_note=notes.append).images == 9
    assert len(notes) == 1 and "not cached" in notes[0]
    assert (tmp_path / "file").read_text() == "in the way"


def test_nothing_is_written_beside_the_frames(root: Path, labels: dict[str, np.ndarray]) -> None:
    def listing() -> list[tuple[Path, int]]:
        return sorted((path, path.stat().st_mtime_ns) for path in [root, *root.rglob("*")])

    before = listing()
    counted(root)
    assert listing() == before


def test_a_frame_that_cannot_be_read_is_an_error_that_names_it_and_nothing_is_kept(
    root: Path, labels: dict[str, np.ndarray], cache: Path
) -> None:
    spoil(root / "masks" / f"{NAMES[3]}.png")
    with pytest.raises(InputError, match=NAMES[3]):
        counted(root)
    assert not list(cache.rglob("*.json"))


def test_drawn_scenes_are_counted_without_files() -> None:
    dataset = open_dataset(DataConfig(root="synthetic:1"))
    found = collect(dataset, 1)
    expected = np.bincount(dataset.label(0).ravel(), minlength=5).tolist()
    assert [row.pixels for row in found.classes] == expected
    assert collect(dataset, 1, on_progress=lambda *_: pytest.fail("it counted")) is not None


def test_real_frames_agree_with_pillow(shared_data: Path) -> None:
    found = counted(shared_data / "comma10k_sample")
    pixels, lumas = np.zeros(5, np.int64), []
    for file in (shared_data / "comma10k_sample/masks").glob("*.png"):
        mask = np.asarray(PIL.Image.open(file).convert("RGB"))
        pixels += [(mask == colour).all(-1).sum() for colour in COLOURS]
        frame = PIL.Image.open(file.parents[1] / "imgs" / file.name).convert("L")
        lumas.append(np.asarray(frame).mean())
    assert [row.pixels for row in found.classes] == pixels.tolist()
    assert found.mean_luma == pytest.approx(np.mean(lumas), abs=0.5)
    assert found.groups == {"dark": 1, "dim": 5, "bright": 2}
    lane, car = found.classes[1].heat_map, found.classes[4].heat_map
    assert not car[:36].any()  # the bonnet is below the horizon
    assert not lane[:24].any() and lane.any()
