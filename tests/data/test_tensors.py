"""A data set as tensors: what a `DataLoader` and anyone's training loop take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

import dashseg
from dashseg.config import DataConfig, ExtraData
from dashseg.curate.pack import pack
from dashseg.data import Dataset, open_training_set
from dashseg.data.sources import open_whole
from dashseg.errors import InputError
from dashseg.models import Normalise
from dashseg.shrink import shrink_label

NAMES = ["a", "b", "c", "d9"]


@pytest.fixture
def frames(tmp_path: Path, write_comma10k: Callable[..., object]) -> Dataset:
    write_comma10k(tmp_path / "data", NAMES)
    return dashseg.open_dataset(tmp_path / "data", split="all")


def test_an_item_is_the_frame_and_the_label_channels_first(frames: Dataset) -> None:
    image, label = frames.tensors()[1]
    assert (image.dtype, label.dtype) == (torch.uint8, torch.int64)
    np.testing.assert_array_equal(image.numpy().transpose(1, 2, 0), frames[1].image)
    np.testing.assert_array_equal(label.numpy(), frames[1].label)


def test_a_size_is_that_of_every_item_and_labels_shrink_as_in_training(frames: Dataset) -> None:
    image, label = frames.tensors(size=(20, 30))[0]
    assert image.shape == (3, 20, 30)
    np.testing.assert_array_equal(label.numpy(), shrink_label(frames[0].label, (20, 30)))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_loader_with_workers_gives_every_frame_once(frames: Dataset, start: str) -> None:
    loader = DataLoader(
        frames.tensors(size=(20, 28)), batch_size=3, num_workers=2, multiprocessing_context=start
    )
    batches = list(loader)
    assert [tuple(image.shape) for image, _ in batches] == [(3, 3, 20, 28), (1, 3, 20, 28)]
    labels = torch.cat([label for _, label in batches])
    for index, label in enumerate(labels):
        assert torch.equal(label, frames.tensors(size=(20, 28))[index][1])


def test_a_loader_takes_the_data_set_itself(frames: Any) -> None:
    (batch,) = DataLoader(frames, batch_size=4)
    assert batch.image.shape == (4, 40, 56, 3)
    assert list(batch.name) == NAMES


def test_every_kind_of_data_set_has_tensors(
    frames: Dataset, tmp_path: Path, write_comma10k: Callable[..., object]
) -> None:
    config = DataConfig(root=str(tmp_path / "data"))
    whole, splits = open_whole(config)
    packed = pack(whole, tmp_path / "pack", splits, workers=1)
    extra = ExtraData(root=str(tmp_path / "data"), take="all")
    mixed = open_training_set(config.model_copy(update={"extra": (extra,)}))
    for data in (packed, mixed):
        image, label = data.tensors(size=(20, 28))[len(data) - 1]
        expected = frames.tensors(size=(20, 28))[3]
        assert torch.equal(image, expected[0]) and torch.equal(label, expected[1])
    assert dashseg.open_dataset("synthetic:1", split="all").tensors()[0][0].shape[0] == 3


def test_a_frame_that_cannot_be_read_is_an_error_that_names_it(
    frames: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "data" / "imgs" / "b.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"imgs/b\.png"):
        frames.tensors()[1]


def test_a_network_learns_in_a_loop_of_ones_own(frames: Dataset, model_directory: Path) -> None:
    segment = dashseg.load(model_directory, device="cpu")
    network, normalise = segment.network.train(), Normalise(segment.input)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        for image, label in DataLoader(frames.tensors(size=(36, 64)), batch_size=2):
            loss = F.cross_entropy(network(normalise(image)), label, ignore_index=255)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert np.mean(losses[-2:]) < 0.9 * np.mean(losses[:2])
