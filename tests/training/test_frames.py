import cv2
import numpy as np
import pytest
import torch

from dashseg.config import DataConfig, InputConfig
from dashseg.data import open_dataset
from dashseg.errors import InputError
from dashseg.training.frames import (
    ShuffleByEpoch,
    WorkingFrames,
    _collate,
    training_loader,
    validation_loader,
)

INPUT = InputConfig(size=(64, 96))


@pytest.fixture
def frames(scenes):
    return WorkingFrames(open_dataset(DataConfig(root=str(scenes)), "train"), INPUT)


def test_each_epoch_shows_every_frame_once_in_an_order_of_its_own():
    sampler = ShuffleByEpoch(50, seed=3)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_frames_come_at_working_size_whether_they_are_kept_in_memory_or_not(frames):
    image, label = frames[3]
    assert image.shape == (64, 85, 3)  # 109×145 within 64×96, its ratio kept
    assert label.shape == (64, 85) and label.dtype == np.uint8
    frames.keep()
    assert np.array_equal(frames[3][0], image) and np.array_equal(frames[3][1], label)
    assert np.array_equal(frames.labels()[3], label)


def test_a_loader_gives_the_same_batches_with_processes_and_without(frames):
    for loaders in (training_loader, validation_loader):
        arguments = (frames, 4, 1) if loaders is training_loader else (frames, 4)
        here, there = (list(loaders(*arguments, workers)) for workers in (0, 2))
        assert len(here) == (4 if loaders is training_loader else 5)
        for ours, theirs in zip(here, there, strict=True):
            assert torch.equal(ours.image, theirs.image)
            assert torch.equal(ours.label, theirs.label)


def test_frames_of_two_sizes_are_padded_with_ignored_pixels():
    large = np.full((40, 60, 3), 9, np.uint8), np.zeros((40, 60), np.uint8)
    small = np.full((32, 50, 3), 9, np.uint8), np.ones((32, 50), np.uint8)
    batch = _collate([large, small])
    assert batch.image.shape == (2, 3, 40, 60)
    assert (batch.label[1, :32, :50] == 1).all()
    assert (batch.label[1, 32:] == 255).all() and (batch.label[1, :, 50:] == 255).all()


def test_frames_are_not_kept_beyond_what_a_container_may_take(frames, tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr("dashseg.training.frames._CGROUP_LIMITS", (str(limit),))
    for text, fits in (("max", True), (str(18 * 64 * 85 * 4 * 5), True), ("100000", False)):
        limit.write_text(text + "\n")
        assert frames.fits_in_memory() == fits


def test_a_batch_larger_than_the_data_is_an_error_that_says_which_would_fit(frames):
    with pytest.raises(InputError, match=r"batch_size is 19, but there are only 18.*18 or less"):
        training_loader(frames, 19, 0, 0)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_frame_that_breaks_in_a_loader_process_is_named(tmp_path, workers):
    for folder in ("imgs", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(2):
        cv2.imwrite(str(tmp_path / "imgs" / f"{i}.png"), np.zeros((64, 96, 3), np.uint8))
        mask = np.full((64, 96, 3), (0x20, 0x20, 0x40), np.uint8)  # road, in OpenCV's order
        cv2.imwrite(str(tmp_path / "masks" / f"{i}.png"), mask)
    broken = tmp_path / "imgs" / "1.png"
    broken.write_bytes(broken.read_bytes()[:100])
    dataset = open_dataset(DataConfig(root=str(tmp_path)), "all")
    batches = list(validation_loader(WorkingFrames(dataset, INPUT), 1, workers))
    assert isinstance(batches[1], InputError)
    assert str(broken) in str(batches[1])
    assert "Traceback" not in str(batches[1])
