"""Frames at working size -> batches: their order, and three places to read them from.

The device itself, memory, or files (by loader processes); the batches are the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from dashseg.data.pack import PackDataset
from dashseg.errors import InputError
from dashseg.labels import IGNORE
from dashseg.models.input import mean_colour
from dashseg.overlap import ahead
from dashseg.training.frames import Pair, WorkingFrames
from dashseg.training.processes import ALONE, Processes
from dashseg.training.soft_labels import stack_codes

_AHEAD = 2  # pinned batches that are ready or being made; more would only take memory
_CHUNK = 64  # frames copied to the device at a time: tens of MB use the bus fully


class Batch(NamedTuple):
    """image: uint8 (B, 3, H, W) RGB. label: uint8 (B, H, W), 255 = ignore.

    sizes: (H, W) of each frame if they differ. Smaller frames then have an ignored border at the
    right and at the bottom. None if all frames have the batch's size.
    codes: uint8 (B, C, h, w), a teacher's predictions (`dashseg.data.pack.predictions`).
    """

    image: Tensor
    label: Tensor
    sizes: Sequence[Sequence[int]] | None = None
    codes: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Copy to a device; from pinned memory, without waiting for the copy."""
        image, label = (part.to(device, non_blocking=True) for part in (self.image, self.label))
        codes = None if self.codes is None else self.codes.to(device, non_blocking=True)
        return Batch(image, label, self.sizes, codes)

    def without_borders(self) -> Iterator[Batch]:
        """The same frames in one batch for each size."""
        if self.sizes is None:
            yield self
            return
        sizes = [tuple(size) for size in self.sizes]  # DataLoader turns tuples into lists
        for height, width in dict.fromkeys(sizes):
            those = [i for i, size in enumerate(sizes) if size == (height, width)]
            image, label = self.image[those], self.label[those]
            yield Batch(image[..., :height, :width], label[..., :height, :width])


class Order(Protocol):
    """Batches of frame numbers; each iteration is one epoch."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[list[int]]: ...


class ShuffledBatches:
    """Each frame at most once an epoch, in random order; frames that fill no batch are left out.

    The order depends only on seed and epoch.

    Args:
        count: number of frames.
        batch_size: over all processes; each process gets an equal part of every batch.

    Raises:
        InputError: fewer frames than `batch_size`, or the processes cannot share it evenly.
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
        """Choose the epoch of the next iteration, and its first batch."""
        self.epoch, self._start = epoch, batch


class EveryFrame:
    """Every frame exactly once, in order, divided among the processes."""

    def __init__(self, count: int, batch_size: int, processes: Processes = ALONE) -> None:
        self._mine = list(range(processes.rank, count, processes.world))
        self._size = max(1, batch_size // processes.world)

    def __len__(self) -> int:
        return -(-len(self._mine) // self._size)

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, len(self._mine), self._size):
            yield self._mine[start : start + self._size]


class Batches:
    """The batches of an order; each iteration reads one epoch.

    Iterating raises InputError at the batch with a frame that cannot be read.

    Args:
        read: starts an epoch.
    """

    def __init__(self, order: Order, read: Callable[[], Iterator[Batch]]) -> None:
        self._order = order
        self._read = read

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        return self._read()


def from_device(frames: WorkingFrames, order: Order, device: torch.device) -> Batches:
    """Batches of frames that all lie on the device, so that the CPU has no work.

    Args:
        frames: in memory or in packs, and all of one size.
    """
    images, labels, codes = _on_device(frames, device)  # (M, H, W, 3), (M, H, W), (M, C, h, w)

    def read() -> Iterator[Batch]:
        for indices in order:
            rows = torch.from_numpy(frames.places[indices]).to(device, non_blocking=True)
            batch = Batch(images[rows].permute(0, 3, 1, 2), labels[rows])
            yield batch if codes is None else batch._replace(codes=codes[rows])

    return Batches(order, read)


def from_memory(frames: WorkingFrames, order: Order, pin: bool) -> Batches:
    """Batches of frames in memory, or in a pack's mapped files.

    Args:
        pin: prepare batches in a thread and pin their memory, for a GPU.
    """
    arrays = frames.arrays()

    def read() -> Iterator[Batch]:
        for indices in order:
            if arrays is None:
                yield read_batch(frames, indices)
            else:
                rows = arrays.rows[indices]
                labels = arrays.labels[rows]
                if isinstance(frames.dataset, PackDataset):
                    frames.dataset.check_labels(labels, indices)
                batch = _batch(arrays.images[rows], labels)
                sizes = [labels.shape[1:]] * len(labels)
                yield batch._replace(codes=_codes(frames, indices, sizes))

    return Batches(order, (lambda: ahead(read(), _pinned, size=_AHEAD)) if pin else read)


def from_files(
    frames: WorkingFrames, order: Order, pin: bool, workers: int | None = None
) -> Batches:
    """Batches of frames that loader processes read, decode and shrink.

    Args:
        pin: pin the batches' memory, for a GPU.
        workers: number of processes; 0 reads in this one. None: one per core, up to 8.
    """
    if workers is None:
        workers = min(8, os.cpu_count() or 1)
    loader: DataLoader[Any] = DataLoader(
        _ByBatch(frames),  # type: ignore[arg-type]
        sampler=order,
        batch_size=None,  # an item of the sampler is a whole batch
        num_workers=workers,
        collate_fn=_unchanged,
        worker_init_fn=_one_thread,
        persistent_workers=workers > 0,
        pin_memory=pin,
    )

    def read() -> Iterator[Batch]:
        for item in loader:
            if isinstance(item, InputError):
                raise item
            yield item

    return Batches(order, read)


class _ByBatch:
    """Frame numbers -> their batch, or the error: a loader process would reword a raised one."""

    def __init__(self, frames: WorkingFrames) -> None:
        self.frames = frames

    def __getitem__(self, indices: list[int]) -> Batch | InputError:
        try:
            return read_batch(self.frames, indices)
        except InputError as error:
            return error


def read_batch(frames: WorkingFrames, indices: Iterable[int]) -> Batch:
    """Read frames one by one.

    Raises:
        InputError: a frame cannot be read.
    """
    indices = list(indices)
    pairs = [frames[index] for index in indices]
    sizes = [label.shape for _, label in pairs]
    batch = stack(pairs, mean_colour(frames.config))
    return batch._replace(codes=_codes(frames, indices, sizes))


def _codes(
    frames: WorkingFrames, indices: list[int], sizes: Sequence[tuple[int, ...]]
) -> Tensor | None:
    """The predictions of frames of these sizes; None without."""
    if not frames.predicted:
        return None
    return stack_codes([frames.codes(index) for index in indices], sizes)


def stack(pairs: Sequence[Pair], border: NDArray[np.uint8]) -> Batch:
    """Stack frames; smaller ones get an ignored border at the right and at the bottom.

    Args:
        border: uint8 (3,) RGB, the border's colour.
    """
    height = max(image.shape[0] for image, _ in pairs)
    width = max(image.shape[1] for image, _ in pairs)
    images = np.empty((len(pairs), height, width, 3), np.uint8)
    images[:] = border
    labels = np.full((len(pairs), height, width), IGNORE, np.uint8)
    for i, (image, label) in enumerate(pairs):
        images[i, : image.shape[0], : image.shape[1]] = image
        labels[i, : label.shape[0], : label.shape[1]] = label
    sizes = [label.shape for _, label in pairs]
    return _batch(images, labels)._replace(sizes=sizes if len({*sizes}) > 1 else None)


def _batch(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Batch:
    return Batch(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels))


def _on_device(frames: WorkingFrames, device: torch.device) -> tuple[Tensor, Tensor, Tensor | None]:
    """All distinct frames on the device: images (M, H, W, 3), labels (M, H, W), and codes."""
    count, size = len(frames.distinct), frames[0][1].shape
    images = torch.empty((count, *size, 3), dtype=torch.uint8, device=device)
    labels = torch.empty((count, *size), dtype=torch.uint8, device=device)
    codes = None
    if frames.predicted:
        shape = frames.codes(0).shape
        codes = torch.empty((count, *shape), dtype=torch.uint8, device=device)
    for start in range(0, count, _CHUNK):
        some = slice(start, min(count, start + _CHUNK))
        pairs = [frames[index] for index in frames.distinct[some]]
        images[some] = torch.from_numpy(np.stack([image for image, _ in pairs]))
        labels[some] = torch.from_numpy(np.stack([label for _, label in pairs]))
        if codes is not None:
            own = [frames.codes(index) for index in frames.distinct[some]]
            codes[some] = torch.from_numpy(np.stack(own))
    return images, labels, codes


def _pinned(batch: Batch) -> Batch:
    # Pinned while contiguous: pinning a permuted tensor would change its memory format.
    image = batch.image.permute(0, 2, 3, 1).pin_memory().permute(0, 3, 1, 2)
    codes = None if batch.codes is None else batch.codes.pin_memory()
    return Batch(image, batch.label.pin_memory(), batch.sizes, codes)


def _unchanged(item: Any) -> Any:
    return item


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)  # there is a process for each core already
