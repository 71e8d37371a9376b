from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashseg.config import DataConfig, InputConfig
from dashseg.curate.pack import pack
from dashseg.data import open_dataset
from dashseg.data.sources import open_whole
from dashseg.training.frames import WorkingFrames

INPUT = InputConfig(size=(64, 96))


@pytest.fixture
def frames(scenes: Path):
    return WorkingFrames(open_dataset(DataConfig(root=str(scenes)), "train"), INPUT)


def test_frames_in_memory_are_the_ones_read_from_files(frames: Any) -> None:
    image, label = frames[3]
    assert image.shape == (64, 85, 3)  # 109×145 within 64×96, its ratio kept
    assert label.shape == (64, 85) and label.dtype == np.uint8
    assert frames.arrays() is None
    frames.keep()
    assert np.array_equal(frames[3][0], image) and np.array_equal(frames[3][1], label)
    assert np.array_equal(frames.labels()[3], label)


def test_kept_frames_and_packed_frames_are_one_array(
    frames: Any, scenes: Path, tmp_path: Path
) -> None:
    frames.keep()
    whole, splits = open_whole(DataConfig(root=str(scenes)))
    pack(whole, tmp_path / "pack", splits, size=(64, 85))
    whole = open_dataset(DataConfig(root=str(tmp_path / "pack")), "all")
    packed = WorkingFrames(whole.select(frames.dataset.names[4:9], "some"), INPUT)
    for number in range(5):  # a part of the pack: its rows are not the frames' numbers
        kept, mapped = frames.arrays(), packed.arrays()
        assert kept is not None and mapped is not None
        for ours, theirs in ((mapped.images, kept.images), (mapped.labels, kept.labels)):
            assert np.array_equal(ours[mapped.rows[number]], theirs[kept.rows[number + 4]])


def test_frames_of_several_sizes_are_kept_as_they_are(write_folder: Any, tmp_path: Path) -> None:
    palette = "classes: {a: '#000000', b: '#ffffff'}\nmasks: id\n"
    write_folder(tmp_path, ["1", "2"], palette, None)
    from PIL import Image

    for folder, kind in (("images", "jpg"), ("masks", "png")):
        path = tmp_path / folder / f"2.{kind}"
        Image.open(path).crop((0, 0, 48, 40)).save(path)
    for mask in (tmp_path / "masks").iterdir():
        Image.fromarray((np.asarray(Image.open(mask)) > 0).astype(np.uint8)).save(mask)
    whole = open_dataset(DataConfig(root=str(tmp_path)), "all")
    frames = WorkingFrames(whole, InputConfig(size=None))
    read = [frames[i] for i in range(2)]
    frames.keep()
    assert frames.arrays() is None
    for kept, pair in zip(range(2), read, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(frames[kept], pair, strict=True))
    assert frames[1][1].shape == (40, 48)
