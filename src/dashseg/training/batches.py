"""Frames at working size -> batches: in which order, and from where they are taken.

From the device itself, from memory, or from files by loader processes; the batches are the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from dashseg.errors import InputError
from dashseg.labels import IGNORE
from dashseg.overlap import ahead
from dashseg.training.frames import FrameArrays, Pair, WorkingFrames
from dashseg.training.processes import ALONE, Processes

_AHEAD = 2  # batches ready before they are asked for: one in the making, one to spare
_CHUNK = 64  # frames sent to the device at a time: tens of MB, at which the bus is at full speed


class Batch(NamedTuple):
    """image uint8 (B, 3, H, W) RGB; label uint8 (B, H, W), 255 = ignore.

    sizes: (H, W) of each frame, where they differ: the rest is a border at the right and at the
    bottom.
    """

    image: Tensor
    label: Tensor
    sizes: Sequence[Sequence[int]] | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; a GPU fetches pinned memory by itself."""
        image, label = (part.to(device, non_blocking=True) for part in (self.image, self.label))
        return Batch(image, label, self.sizes)

    def alike(self) -> Iterator[Batch]:
        """The frames in batches of one size, without borders."""
        if self.sizes is None:
            yield self
            return
        sizes = [tuple(size) for size in self.sizes]  # loaders make lists of them
        for height, width in dict.fromkeys(sizes):
            those = [i for i, size in enumerate(sizes) if size == (height, width)]
            image, label = self.image[those], self.label[those]
            yield Batch(image[..., :height, :width], label[..., :height, :width])


class Order(Protocol):
    """Batches of frame numbers, for one epoch at each iteration."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[list[int]]: ...


class ShuffledBatches:
    """Every frame once an epoch, in an order that seed and epoch alone decide; whole batches only.

    Args:
        count: frames.
        batch_size: of all processes together; each takes its part of every batch.

    Raises:
        InputError: fewer frames than one batch takes, or a batch that cannot be dealt out evenly.
    """

    def __init__(
        self, count: int, batch_size: int, seed: int, processes: Processes = ALONE
    ) -> None:
        if batch_size > count:
            raise InputError(
                f"training.batch_size is {batch_size}, but there are only {count} training"
                f" frames: set it to {count} or less"
            )
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self._share = processes.share(batch_size)
        self._rank = processes.rank
        self._start = 0

    def __len__(self) -> int:
        return self.count // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
        for batch in range(self._start, len(self)):
            first = batch * self.batch_size + self._rank * self._share
            yield order[first : first + self._share].tolist()

    def begin(self, epoch: int, batch: int = 0) -> None:
        """Which epoch the next iteration is of, and with which batch it begins."""
        self.epoch, self._start = epoch, batch


class EveryFrame:
    """Every frame once, in order, dealt out to the processes: none twice, none left out."""

    def __init__(self, count: int, batch_size: int, processes: Processes = ALONE) -> None:
        self._mine = list(range(processes.rank, count, processes.world))
        self._size = max(1, batch_size // processes.world)

    def __len__(self) -> int:
        return -(-len(self._mine) // self._size)

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, len(self._mine), self._size):
            yield self._mine[start : start + self._size]


class Batches:
    """The batches of an order, read in one of the ways below; `len` is that of the order.

    Iterating raises InputError, at its turn, for a frame that cannot be read.

    Args:
        read: begins one iteration over the order; an item may be an error in place of a batch.
    """

    def __init__(self, order: Order, read: Callable[[], Iterable[Batch | InputError]]) -> None:
        self._order = order
        self._read = read

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        for item in self._read():
            if isinstance(item, InputError):
                raise item
            yield item


def from_device(frames: WorkingFrames, order: Order, device: torch.device) -> Batches:
    """Batches picked out of all frames, which are held on the device: no work for the processor.

    Args:
        frames: at hand, and of one size.
    """
    images, labels = _on_device(frames, device)  # (M, H, W, 3), (M, H, W)

    def read() -> Iterator[Batch]:
        for indices in order:
            rows = torch.from_numpy(frames.places[indices]).to(device, non_blocking=True)
            yield Batch(images[rows].permute(0, 3, 1, 2), labels[rows])

    return Batches(order, read)


def from_memory(frames: WorkingFrames, order: Order, pin: bool) -> Batches:
    """Batches gathered from memory, or from a pack's mapped files.

    Args:
        pin: for a GPU: in the background, into memory that it can fetch from by itself.
    """
    arrays = frames.arrays()
    collate = partial(_collate, border=frames.mean_colour)

    def read() -> Iterator[Batch | InputError]:
        for indices in order:
            yield _gather(arrays, indices) if arrays else collate(_try(frames, indices))

    return Batches(order, (lambda: ahead(read(), _pinned, size=_AHEAD)) if pin else read)


def from_files(
    frames: WorkingFrames, order: Order, pin: bool, workers: int | None = None
) -> Batches:
    """Batches read, decoded and shrunk by loader processes.

    Args:
        workers: processes; 0 reads in this one. None: one per core, up to 8.
    """
    if workers is None:
        workers = min(8, os.cpu_count() or 1)
    loader: DataLoader[Any] = DataLoader(
        _Catching(frames),  # type: ignore[arg-type]
        batch_sampler=order,
        num_workers=workers,
        collate_fn=partial(_collate, border=frames.mean_colour),
        worker_init_fn=_one_thread,
        persistent_workers=workers > 0,
        pin_memory=pin,
    )
    return Batches(order, lambda: loader)


class _Catching:
    """Hands errors on as values: a loader process would wrap their text in its own traceback."""

    def __init__(self, frames: WorkingFrames) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Pair | InputError:
        return _try(self.frames, [index])[0]


def _try(frames: WorkingFrames, indices: Iterable[int]) -> list[Pair | InputError]:
    items: list[Pair | InputError] = []
    for index in indices:
        try:
            items.append(frames[index])
        except InputError as error:
            items.append(error)
    return items


def _collate(items: list[Pair | InputError], border: NDArray[np.uint8]) -> Batch | InputError:
    """Stack frames; smaller ones get an ignored border of that colour, right and at the bottom."""
    pairs: list[Pair] = []
    for item in items:
        if isinstance(item, InputError):
            return item
        pairs.append(item)
    height = max(image.shape[0] for image, _ in pairs)
    width = max(image.shape[1] for image, _ in pairs)
    images = np.empty((len(pairs), height, width, 3), np.uint8)
    images[:] = border
    labels = np.full((len(pairs), height, width), IGNORE, np.uint8)
    for i, (image, label) in enumerate(pairs):
        images[i, : image.shape[0], : image.shape[1]] = image
        labels[i, : label.shape[0], : label.shape[1]] = label
    sizes = [label.shape for _, label in pairs]
    batch = _batch(images, labels)
    return batch._replace(sizes=sizes) if len({*sizes}) > 1 else batch


def _gather(arrays: FrameArrays, indices: list[int]) -> Batch:
    rows = arrays.rows[indices]
    return _batch(arrays.images[rows], arrays.labels[rows])


def _batch(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Batch:
    return Batch(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels))


def _on_device(frames: WorkingFrames, device: torch.device) -> tuple[Tensor, Tensor]:
    """All frames that differ, as (M, H, W, 3) and (M, H, W) on the device."""
    count, size = len(frames.distinct), frames[0][1].shape
    images = torch.empty((count, *size, 3), dtype=torch.uint8, device=device)
    labels = torch.empty((count, *size), dtype=torch.uint8, device=device)
    for start in range(0, count, _CHUNK):
        some = slice(start, min(count, start + _CHUNK))
        pairs = [frames[index] for index in frames.distinct[some]]
        images[some] = torch.from_numpy(np.stack([image for image, _ in pairs]))
        labels[some] = torch.from_numpy(np.stack([label for _, label in pairs]))
    return images, labels


def _pinned(item: Batch | InputError) -> Batch | InputError:
    if isinstance(item, InputError):
        return item
    # Contiguous in the order that it lies in: pinning a permuted tensor would turn it over.
    image = item.image.permute(0, 2, 3, 1).pin_memory().permute(0, 3, 1, 2)
    return Batch(image, item.label.pin_memory(), item.sizes)


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)  # as many processes as cores: more threads would only get in the way
