from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from dashseg.config import DataConfig, ExtraData, InputConfig
from dashseg.data import open_dataset, open_training_set
from dashseg.errors import InputError
from dashseg.training.batches import (
    EveryFrame,
    ShuffledBatches,
    from_device,
    from_files,
    from_memory,
    stack,
)
from dashseg.training.frames import WorkingFrames
from dashseg.training.processes import Processes

INPUT = InputConfig(size=(64, 96))


def flat(batches):
    return [number for batch in batches for number in batch]


@pytest.fixture
def frames(scenes: Path):
    return WorkingFrames(open_dataset(DataConfig(root=str(scenes)), "train"), INPUT)


def test_each_epoch_has_every_frame_once_in_its_own_order() -> None:
    order = ShuffledBatches(48, 4, seed=3)
    first = list(order)
    order.begin(1)
    second = list(order)
    assert len(first) == len(order) == 12
    assert sorted(flat(first)) == sorted(flat(second)) == list(range(48))
    assert first != second
    order.begin(0)
    assert list(order) == first


def test_a_resumed_epoch_starts_at_its_batch_and_the_next_epoch_is_complete() -> None:
    order = ShuffledBatches(50, 4, seed=3)
    whole = list(order)
    order.begin(0, 7)
    assert list(order) == whole[7:]
    order.begin(0)
    assert list(order) == whole


@pytest.mark.parametrize("world", [2, 3, 4])
def test_several_processes_share_the_batches_of_a_single_one(world: int) -> None:
    alone = list(ShuffledBatches(53, 12, seed=1))
    parts = [
        list(ShuffledBatches(53, 12, seed=1, processes=Processes(rank, world)))
        for rank in range(world)
    ]
    assert [flat(batch) for batch in zip(*parts, strict=True)] == alone


@pytest.mark.parametrize(("count", "world"), [(7, 2), (10, 4), (2, 3)])
def test_each_validation_frame_goes_to_exactly_one_process(count: int, world: int) -> None:
    seen = []
    for rank in range(world):
        order = EveryFrame(count, 4, Processes(rank, world))
        batches = list(order)
        assert len(batches) == len(order)
        seen += flat(batches)
    assert sorted(seen) == list(range(count))


def test_a_batch_that_processes_cannot_share_is_an_error_that_names_one_they_can() -> None:
    with pytest.raises(InputError, match=r"batch_size is 7.*2 processes.*set it to 6"):
        ShuffledBatches(50, 7, 0, Processes(0, 2))


def test_a_batch_larger_than_the_data_is_an_error_that_names_the_largest() -> None:
    with pytest.raises(InputError, match=r"batch_size is 19, but there are only 18.*18 or less"):
        ShuffledBatches(18, 19, 0)


@pytest.mark.parametrize("shuffled", [True, False])
def test_batches_from_files_memory_and_device_are_the_same(frames: Any, shuffled: bool) -> None:
    order = ShuffledBatches(18, 4, seed=1) if shuffled else EveryFrame(18, 4)
    ways = [list(from_files(frames, order, pin=False, workers=workers)) for workers in (0, 2)]
    ways.append(list(from_memory(frames, order, pin=False)))  # one by one
    frames.keep()
    ways.append(list(from_memory(frames, order, pin=False)))  # out of one array
    ways.append(list(from_device(frames, order, torch.device("cpu"))))
    assert [len(way) for way in ways] == [4 if shuffled else 5] * 5
    for batches in zip(*ways, strict=True):
        for other in batches[1:]:
            assert torch.equal(batches[0].image, other.image)
            assert torch.equal(batches[0].label, other.label)


def test_loader_processes_follow_the_epochs_order(frames: Any) -> None:
    order = ShuffledBatches(18, 4, seed=1)
    batches = from_files(frames, order, pin=False, workers=1)
    for epoch in (0, 3):
        order.begin(epoch)
        wanted = list(from_memory(frames, order, pin=False))
        for ours, theirs in zip(batches, wanted, strict=True):
            assert torch.equal(ours.image, theirs.image)


def test_frames_of_two_sizes_are_padded_with_ignored_pixels() -> None:
    large = np.full((40, 60, 3), 9, np.uint8), np.zeros((40, 60), np.uint8)
    small = np.full((32, 50, 3), 9, np.uint8), np.ones((32, 50), np.uint8)
    batch = stack([large, small], np.array([1, 2, 3], np.uint8))
    assert batch.image.shape == (2, 3, 40, 60)
    assert (batch.label[1, :32, :50] == 1).all()
    assert (batch.label[1, 32:] == 255).all() and (batch.label[1, :, 50:] == 255).all()
    border = torch.tensor([1, 2, 3]).view(3, 1)
    assert (batch.image[1, :, 32:].flatten(1) == border).all()
    assert (batch.image[1, :, :, 50:].flatten(1) == border).all()


def test_a_batch_of_several_sizes_splits_into_batches_without_borders() -> None:
    pairs = [
        (np.full((h, w, 3), i, np.uint8), np.full((h, w), i, np.uint8))
        for i, (h, w) in enumerate([(40, 60), (32, 60), (40, 60), (40, 50)])
    ]
    batch = stack(pairs, np.zeros(3, np.uint8))
    assert batch.sizes is not None
    parts = list(batch._replace(sizes=[list(size) for size in batch.sizes]).without_borders())
    assert [part.label.shape for part in parts] == [(2, 40, 60), (1, 32, 60), (1, 40, 50)]
    assert [part.label.unique().tolist() for part in parts] == [[0, 2], [1], [3]]
    assert all(torch.equal(part.image[:, 0], part.label) for part in parts)
    (whole,) = stack([pairs[0], pairs[2]], np.zeros(3, np.uint8)).without_borders()
    assert whole.label.shape == (2, 40, 60)


@pytest.mark.parametrize("read", [from_memory, from_files])
def test_repeated_frames_are_in_more_batches_but_in_memory_once(scenes: Path, read: Any) -> None:
    config = DataConfig(root=str(scenes), repeat=3, extra=(ExtraData(root="synthetic:2:5"),))
    dataset = open_training_set(config)
    frames = WorkingFrames(dataset, InputConfig(size=(64, 64), resize="squash"))
    assert len(frames) == 3 * 18 + 2 and len(frames.distinct) == 20
    once = WorkingFrames(open_dataset(DataConfig(root=str(scenes)), "train"), frames.config)
    assert frames.nbytes() == 20 * once.nbytes() // 18
    fresh = WorkingFrames(dataset, frames.config)  # reads each frame anew
    seen = []
    if read is from_memory:
        frames.keep(lambda done, count: seen.append((done, count)))
        arrays = frames.arrays()
        assert arrays is not None
        assert seen[-1] == (20, 20) and len(arrays.images) == 20
        batches = from_memory(frames, EveryFrame(56, 8), pin=False)
    else:
        batches = from_files(frames, EveryFrame(56, 8), pin=False, workers=0)
    labels = torch.cat([batch.label for batch in batches])
    for number in (0, 17, 18, 53, 54, 55):
        assert np.array_equal(labels[number], frames[number][1])
        assert np.array_equal(labels[number], fresh[number][1])


@pytest.mark.parametrize("workers", [0, 1, None])
def test_an_unreadable_frame_is_an_error_that_names_the_file(
    tmp_path: Path, workers: int | None
) -> None:
    for folder in ("imgs", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(2):
        cv2.imwrite(str(tmp_path / "imgs" / f"{i}.png"), np.zeros((64, 96, 3), np.uint8))
        mask = np.full((64, 96, 3), (0x20, 0x20, 0x40), np.uint8)  # road, in OpenCV's order
        cv2.imwrite(str(tmp_path / "masks" / f"{i}.png"), mask)
    broken = tmp_path / "imgs" / "1.png"
    broken.write_bytes(broken.read_bytes()[:100])
    frames = WorkingFrames(open_dataset(DataConfig(root=str(tmp_path)), "all"), INPUT)
    order = EveryFrame(2, 1)
    if workers is None:
        batches = iter(from_memory(frames, order, pin=False))
    else:
        batches = iter(from_files(frames, order, pin=False, workers=workers))
    assert next(batches).image.shape == (1, 3, 64, 96)
    with pytest.raises(InputError) as caught:
        next(batches)
    assert str(broken) in str(caught.value)
    assert "Traceback" not in str(caught.value)
