"""A data set -> batches of uint8 frames and labels at the network's working size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from dashseg.config import InputConfig
from dashseg.data import Dataset
from dashseg.data.pack import PackDataset
from dashseg.errors import InputError
from dashseg.labels import IGNORE
from dashseg.models.input import to_working_size, working_size
from dashseg.shrink import shrink_label

_MEMORY_SHARE = 0.25  # of what is free: room for the other split, the model and the user's programs

_CGROUP_LIMITS = (  # of cgroups 2 and 1, bytes
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # H×W×3 image, H×W label


class Batch(NamedTuple):
    """image uint8 (B, 3, H, W) RGB; label uint8 (B, H, W), 255 = ignore."""

    image: Tensor
    label: Tensor


class WorkingFrames:
    """Frames of a data set at working size, kept in memory if asked for.

    Reads of a frame that fails raise InputError, which names the file.
    """

    def __init__(self, dataset: Dataset, config: InputConfig) -> None:
        self.dataset = dataset
        self.config = config
        self._kept: list[Pair] | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Pair:
        return self._kept[index] if self._kept is not None else self._read(index)

    @property
    def kept(self) -> bool:
        """Whether the frames are in memory."""
        return self._kept is not None

    @property
    def packed(self) -> bool:
        """Whether they lie in a pack at working size: the system's page cache keeps them."""
        return isinstance(self.dataset, PackDataset) and all(
            size == working_size(size, self.config) for size in self.dataset.sizes
        )

    @property
    def at_hand(self) -> bool:
        """Whether to read one takes no work to speak of."""
        return self.kept or self.packed

    def keep(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Read every frame once, by all cores, and hold it in memory."""
        kept: list[Pair] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV decodes outside the interpreter
            for pair in pool.map(self._read, range(len(self))):
                kept.append(pair)
                if on_progress:
                    on_progress(len(kept), len(self))
        self._kept = kept

    def fits_in_memory(self) -> bool:
        """Whether all frames, at the first one's size, take a small share of free memory."""
        image, label = self._read(0)
        return len(self) * (image.nbytes + label.nbytes) < _MEMORY_SHARE * _free_memory()

    def labels(self) -> LabelsOf:
        """The labels alone, for counting."""
        return LabelsOf(self)

    def _read(self, index: int) -> Pair:
        sample = self.dataset[index]
        image = to_working_size(sample.image, self.config)
        return image, shrink_label(sample.label, image.shape[:2])


class LabelsOf(Sequence[NDArray[np.uint8]]):
    """Labels of `WorkingFrames`, read one at a time when they are not in memory."""

    def __init__(self, frames: WorkingFrames) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:  # type: ignore[override]
        if self._frames.at_hand:
            return self._frames[index][1]
        return self._frames.dataset.label(index)


class ShuffleByEpoch(Sampler[int]):
    """Every frame once an epoch, in an order that seed and epoch alone decide."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter(np.random.default_rng([self.seed, self.epoch]).permutation(self.count).tolist())

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch


def training_loader(
    frames: WorkingFrames, batch_size: int, seed: int, workers: int | None
) -> DataLoader[Pair]:
    """Shuffled whole batches.

    Raises:
        InputError: fewer frames than one batch takes.
    """
    if batch_size > len(frames):
        raise InputError(
            f"training.batch_size is {batch_size}, but there are only {len(frames)} training"
            f" frames: set it to {len(frames)} or less"
        )
    sampler = ShuffleByEpoch(len(frames), seed)
    return _loader(frames, batch_size, workers, sampler=sampler, drop_last=True)


def validation_loader(
    frames: WorkingFrames, batch_size: int, workers: int | None
) -> DataLoader[Pair]:
    """Every frame once, in order."""
    return _loader(frames, batch_size, workers)


def _loader(
    frames: WorkingFrames,
    batch_size: int,
    workers: int | None,
    sampler: Sampler[int] | None = None,
    drop_last: bool = False,
) -> DataLoader[Pair]:
    if workers is None:
        workers = 0 if frames.at_hand else min(8, os.cpu_count() or 1)
    return DataLoader(
        _Catching(frames),  # type: ignore[arg-type]
        batch_size=batch_size,
        sampler=sampler,
        drop_last=drop_last,
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_one_thread,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


class _Catching:
    """Hands errors on as values: a loader process would wrap their text in its own traceback."""

    def __init__(self, frames: WorkingFrames) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Pair | InputError:
        try:
            return self.frames[index]
        except InputError as error:
            return error


def _collate(items: list[Pair | InputError]) -> Batch | InputError:
    """Stack frames; smaller ones get an ignored border at the right and at the bottom."""
    pairs: list[Pair] = []
    for item in items:
        if isinstance(item, InputError):
            return item
        pairs.append(item)
    height = max(image.shape[0] for image, _ in pairs)
    width = max(image.shape[1] for image, _ in pairs)
    images = np.zeros((len(pairs), height, width, 3), np.uint8)
    labels = np.full((len(pairs), height, width), IGNORE, np.uint8)
    for i, (image, label) in enumerate(pairs):
        images[i, : image.shape[0], : image.shape[1]] = image
        labels[i, : label.shape[0], : label.shape[1]] = label
    return Batch(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels))


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)  # as many processes as cores: more threads would only get in the way


def _free_memory() -> int:
    """Bytes of memory that programs can still take (Linux); elsewhere, half of what there is.

    A container sees its host's memory, but may not take more than its own limit.
    """
    return min([_machine_memory(), *_container_limits()])


def _container_limits() -> Iterator[int]:
    for path in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # no such file; "max" where there is no limit
            yield int(Path(path).read_text(encoding="ascii"))


def _machine_memory() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
