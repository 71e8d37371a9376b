"""A data set -> uint8 frames and labels at the network's working size."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dashseg.config import InputConfig
from dashseg.data import Dataset
from dashseg.data.mixture import distinct_places, origin, origins
from dashseg.data.pack import PackDataset
from dashseg.input_size import to_working_size, working_size
from dashseg.shrink import shrink_label
from dashseg.training.soft_labels import Codes

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # H×W×3 image, H×W label


class FrameArrays(NamedTuple):
    """Frames of one size as one array, without repetitions.

    images: uint8 (M, H, W, 3) RGB. labels: uint8 (M, H, W), 255 = ignore. rows: int64 (N,), frame
    number -> row of both.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    rows: NDArray[np.int64]


class WorkingFrames:
    """The frames of a data set at working size; `keep` holds them in memory.

    `frames[index]` is a `Pair`. It raises InputError, which names the file, if it cannot be read.

    Attributes:
        places: int64 (N,), frame number -> number among the distinct frames. A mixture may repeat
            frames; memory holds each of them once.
        distinct: int64 (M,), number among the distinct frames -> a frame number.
        predicted: whether all frames are in packs with predictions, which are wanted.
    """

    def __init__(self, dataset: Dataset, config: InputConfig, predicted: bool = False) -> None:
        self.dataset = dataset
        self.predicted = predicted
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
        """Whether memory holds the frames."""
        return self._kept is not None

    @cached_property
    def packed(self) -> bool:
        """Whether all frames lie in packs at working size: the page cache then holds them."""
        return all(
            isinstance(part, PackDataset)
            and all(size == working_size(size, self.config) for size in part.sizes)
            for part in origins(self.dataset)
        )

    @property
    def one_size(self) -> bool:
        """Whether frames and predictions are of one size; for kept or packed frames only."""
        if self.predicted and len(self._code_shapes) > 1:
            return False
        if self.kept:
            return isinstance(self._kept, FrameArrays)
        packs = [part for part in origins(self.dataset) if isinstance(part, PackDataset)]
        return len({part.size(i) for part in packs for i in range(len(part))}) == 1

    @property
    def quick_to_read(self) -> bool:
        """Whether reading a frame needs no decoding."""
        return self.kept or self.packed

    def keep(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Read each distinct frame once, on all cores, and hold it in memory.

        Args:
            on_progress: takes (frames read, all frames).
        """
        height, width = self._read(0)[1].shape
        count = len(self.distinct)
        images = np.empty((count, height, width, 3), np.uint8)
        labels = np.empty((count, height, width), np.uint8)
        other_sizes: dict[int, Pair] = {}
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV decodes without the GIL
            for index, (image, label) in enumerate(pool.map(self._read, self.distinct)):
                if label.shape == (height, width):
                    images[index], labels[index] = image, label
                else:
                    other_sizes[index] = image, label
                if on_progress:
                    on_progress(index + 1, count)
        if other_sizes:
            self._kept = [other_sizes.get(i) or (images[i], labels[i]) for i in range(count)]
        else:
            self._kept = FrameArrays(images, labels, self.places)

    def arrays(self) -> FrameArrays | None:
        """The frames as one array, if they are of one size and kept or in one pack; else None."""
        if isinstance(self._kept, FrameArrays):
            return self._kept
        if self._kept is None and self.packed and isinstance(self.dataset, PackDataset):
            return _mapped_arrays(self.dataset)
        return None

    def nbytes(self) -> int:
        """Bytes of all distinct frames, if all have the first one's size."""
        image, label = self._read(0)
        codes = self.codes(0).nbytes if self.predicted else 0
        return len(self.distinct) * (image.nbytes + label.nbytes + codes)

    def codes(self, index: int) -> Codes:
        """A frame's predictions, from its pack's mapped file, whatever memory holds."""
        part, number = origin(self.dataset, index)
        assert isinstance(part, PackDataset)
        return part.prediction(number)

    def labels(self, count: int | None = None) -> LabelsOf:
        """The first `count` labels, or all, without images, for counting."""
        return LabelsOf(self, len(self) if count is None else count)

    @property
    def _code_shapes(self) -> set[tuple[int, int]]:
        packs = [part for part in origins(self.dataset) if isinstance(part, PackDataset)]
        return {
            part.predictions.shapes[row.array]
            for part in packs
            if part.predictions is not None
            for row in part.rows
        }

    def _read(self, index: int) -> Pair:
        sample = self.dataset[index]
        image = to_working_size(sample.image, self.config)
        return image, shrink_label(sample.label, image.shape[:2])


class LabelsOf(Sequence[NDArray[np.uint8]]):
    """Labels of `WorkingFrames`; at full size if the frames would have to be decoded."""

    def __init__(self, frames: WorkingFrames, count: int) -> None:
        self._frames = frames
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> NDArray[np.uint8]:  # type: ignore[override]
        if self._frames.quick_to_read:
            return self._frames[index][1]
        return self._frames.dataset.label(index)


def _mapped_arrays(dataset: PackDataset) -> FrameArrays | None:
    """A pack's memory-mapped arrays; None if it has several sizes."""
    numbers = {row.array for row in dataset.rows}
    if len(numbers) != 1:
        return None
    images, labels = dataset.arrays(numbers.pop())
    return FrameArrays(images, labels, np.array([row.row for row in dataset.rows]))
