"""A data set -> uint8 frames and labels at the network's working size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dashseg.config import InputConfig
from dashseg.data import Dataset
from dashseg.data.mixture import distinct_places, parts_of
from dashseg.data.pack import PackDataset
from dashseg.input_size import to_working_size, working_size
from dashseg.shrink import shrink_label
from dashseg.training.processes import launched

_MEMORY_SHARE = 0.25  # of what is free: room for the other split, the model and the user's programs

_CGROUP_LIMITS = (  # of cgroups 2 and 1, bytes
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # H×W×3 image, H×W label


class FrameArrays(NamedTuple):
    """All frames as one array, where they are of one size; what is repeated is there once.

    images: uint8 (M, H, W, 3) RGB. labels: uint8 (M, H, W), 255 = ignore. rows: int64 (N,), a
    frame's number -> its place in both.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    rows: NDArray[np.int64]


class WorkingFrames:
    """Frames of a data set at working size, kept in memory if asked for.

    Reads of a frame that fails raise InputError, which names the file.

    Attributes:
        places: int64 (N,), of each frame its number among those that differ: a mixture may repeat
            some, which are kept once.
        distinct: int64 (M,), of each of those the number of a frame that shows it.
    """

    def __init__(self, dataset: Dataset, config: InputConfig) -> None:
        self.dataset = dataset
        self.config = config
        self.places = distinct_places(dataset)
        self.distinct = np.unique(self.places, return_index=True)[1]
        self._kept: FrameArrays | list[Pair] | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Pair:
        match self._kept:
            case None:
                return self._read(index)
            case FrameArrays(images, labels, rows):
                return images[rows[index]], labels[rows[index]]
            case pairs:
                return pairs[self.places[index]]

    @property
    def kept(self) -> bool:
        """Whether the frames are in memory."""
        return self._kept is not None

    @cached_property
    def packed(self) -> bool:
        """Whether they lie in packs at working size: the system's page cache keeps them."""
        return all(
            isinstance(part, PackDataset)
            and all(size == working_size(size, self.config) for size in part.sizes)
            for part in parts_of(self.dataset)
        )

    @property
    def one_size(self) -> bool:
        """Whether frames that are at hand are all of one size."""
        if self.kept:
            return isinstance(self._kept, FrameArrays)
        packs = [part for part in parts_of(self.dataset) if isinstance(part, PackDataset)]
        return len({part.size(i) for part in packs for i in range(len(part))}) == 1

    @property
    def at_hand(self) -> bool:
        """Whether to read one takes no work to speak of."""
        return self.kept or self.packed

    def keep(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Read every frame once, by all cores, and hold it in memory."""
        height, width = self._read(0)[1].shape
        count = len(self.distinct)
        images = np.empty((count, height, width, 3), np.uint8)
        labels = np.empty((count, height, width), np.uint8)
        odd: dict[int, Pair] = {}  # those of another size than the first
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV decodes outside the interpreter
            for index, (image, label) in enumerate(pool.map(self._read, self.distinct)):
                if label.shape == (height, width):
                    images[index], labels[index] = image, label
                else:
                    odd[index] = image, label
                if on_progress:
                    on_progress(index + 1, count)
        if odd:
            self._kept = [odd.get(i) or (images[i], labels[i]) for i in range(count)]
        else:
            self._kept = FrameArrays(images, labels, self.places)

    def arrays(self) -> FrameArrays | None:
        """The frames as one array: kept ones, or those of a pack; None if they are no such."""
        if isinstance(self._kept, FrameArrays):
            return self._kept
        if self._kept is None and self.packed and isinstance(self.dataset, PackDataset):
            return _mapped_arrays(self.dataset)
        return None

    def nbytes(self) -> int:
        """Bytes that all frames that differ take, at the first one's size."""
        image, label = self._read(0)
        return len(self.distinct) * (image.nbytes + label.nbytes)

    def fits_in_memory(self) -> bool:
        """Whether they take a small share of free memory, which this machine's processes share."""
        share = _MEMORY_SHARE / launched().per_node
        return self.nbytes() < share * _free_memory()

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


def _mapped_arrays(dataset: PackDataset) -> FrameArrays | None:
    """A pack's own arrays, which the system reads as they are asked for; None for several sizes."""
    numbers = {row.array for row in dataset.rows}
    if len(numbers) != 1:
        return None
    images, labels = dataset.arrays(numbers.pop())
    return FrameArrays(images, labels, np.array([row.row for row in dataset.rows]))


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
