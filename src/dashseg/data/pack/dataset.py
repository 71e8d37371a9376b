"""Read a pack as a `Dataset`: memory-mapped frames, nothing to decode."""

from __future__ import annotations

import hashlib
import logging
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dashseg.data.dataset import AsTensors, Sample, listed
from dashseg.data.pack.format import Index, Row, Source, array_file, checksum, read_index
from dashseg.data.pack.predictions import Predictions
from dashseg.data.pack.source import what_changed
from dashseg.errors import InputError
from dashseg.files import check_file
from dashseg.labels import Classes, Label


@dataclass(frozen=True)
class PackDataset(AsTensors):
    """A `Dataset` of memory-mapped arrays.

    Pickling excludes the arrays: each process maps the files itself.
    """

    root: str
    split: str
    classes: Classes
    sizes: tuple[tuple[int, int], ...]
    rows: tuple[Row, ...]
    source: Source
    resized: bool
    predictions: Predictions | None = None  # a teacher's
    kind: str = "pack"

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(row.name for row in self.rows)

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of a frame in the pack."""
        return self.sizes[self.rows[index].array]

    def __getitem__(self, index: int) -> Sample:
        image = np.array(self._row("images", index))  # a copy, so that callers may change it
        return Sample(image, self.label(index), self.rows[index].name)

    def label(self, index: int) -> Label:
        label = np.array(self._row("labels", index))
        self.check_labels(label, [index])
        return label

    def prediction(self, index: int) -> NDArray[np.uint8]:
        """The teacher's codes of a frame, (C, h, w), see `dashseg.data.pack.predictions`."""
        return self._row("predictions", index)

    def check_labels(self, labels: Label, indices: Sequence[int]) -> None:
        """Raise InputError if the labels of frames have values that are no class and not 255."""
        if (labels + np.uint8(1)).max() > len(self.classes):  # 255 becomes 0
            names = listed([self.rows[index].name for index in indices])
            raise InputError(
                f"{self.root}: labels with other values than the {len(self.classes)} classes:"
                f" {names}: pack the data again"
            )

    def fingerprint(self) -> str:
        """Digest of the names and of every pixel, by the frames' checksums."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(f"{row.name} {self.sizes[row.array]} {row.checksum}\n".encode())
        return digest.hexdigest()[:16]

    def select(self, names: Iterable[str], split: str) -> PackDataset:
        """The frames called `names`, in this data set's order."""
        wanted = set(names)
        rows = tuple(row for row in self.rows if row.name in wanted)
        return replace(self, rows=rows, split=split)

    def check(self) -> None:
        """Check that the arrays are complete; warn if the source has changed.

        Raises:
            InputError: a file is missing, cut off or not as pack.json says.
        """
        for number, size in enumerate(self.sizes):
            count = 1 + max((row.row for row in self.rows if row.array == number), default=-1)
            shapes = {"images": (*size, 3), "labels": size}
            if (taught := self.predictions) is not None:
                shapes["predictions"] = (len(taught.classes), *taught.shapes[number])
            for what, shape in shapes.items():
                path = array_file(Path(self.root), what, size)
                array = open_array(path)
                if array.dtype != np.uint8 or array.shape[1:] != shape or len(array) < count:
                    raise InputError(
                        f"{path}: has {array.dtype} {array.shape}, not the frames in pack.json:"
                        " pack the data again"
                    )
        if change := what_changed(self.source, self.rows):
            _warn_once(
                f"warning: {self.root} was packed from {self.source.root}, where {change}:"
                " pack it again to update"
            )

    def verify(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Read every frame and compare it with its checksum.

        Raises:
            InputError: frames that differ, listed, or a label with values beyond the classes.
        """
        damaged = []
        for index, row in enumerate(self.rows):
            image, label = self._row("images", index), self._row("labels", index)
            if checksum(image, label) != row.checksum or not self._prediction_is_whole(index):
                damaged.append(row.name)
            else:
                self.check_labels(label, [index])
            if on_progress:
                on_progress(index + 1, len(self))
        if damaged:
            raise InputError(
                f"{self.root}: {len(damaged)} of {len(self)} frames are damaged: {listed(damaged)}"
            )

    def _prediction_is_whole(self, index: int) -> bool:
        taught, row = self.predictions, self.rows[index]
        if taught is None:
            return True
        return zlib.crc32(self.prediction(index).data) == taught.checksums[row.array][row.row]

    def arrays(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Memory-mapped images and labels of one of `sizes`: every row of the pack, see `rows`."""
        size = self.sizes[number]
        images, labels = (
            open_array(array_file(Path(self.root), what, size)) for what in ("images", "labels")
        )
        return images, labels

    def _row(self, what: str, index: int) -> NDArray[np.uint8]:
        row = self.rows[index]
        return open_array(array_file(Path(self.root), what, self.sizes[row.array]))[row.row]


def open_pack(root: Path) -> tuple[PackDataset, dict[str, set[str]]]:
    """All frames of a pack, and the names on each side of its source's split.

    Raises:
        InputError: pack.json is missing or damaged.
    """
    index: Index = read_index(root)
    dataset = PackDataset(
        root=str(root),
        split="all",
        classes=index.classes,
        sizes=index.sizes,
        rows=index.rows,
        source=index.source,
        resized=index.resized,
        predictions=index.predictions,
    )
    return dataset, {side: set(names) for side, names in index.splits.items()}


def open_array(path: Path) -> NDArray[np.uint8]:
    """Map a `.npy` file into memory, read-only.

    Raises:
        InputError: missing, cut off or damaged.
    """
    try:
        check_file(path)
        found = os.stat(path)
        return _mapped(path, found.st_ino, found.st_mtime_ns)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # NumPy raises many types for damaged headers
        raise InputError(f"{path}: cut off or damaged ({error}): pack the data again") from error


@lru_cache(maxsize=32)  # both sides of a split would give the same warning
def _warn_once(message: str) -> None:
    logging.getLogger("dashseg").warning(message)


@lru_cache(maxsize=32)
def _mapped(path: Path, inode: int, mtime_ns: int) -> NDArray[np.uint8]:
    """inode and mtime_ns tell a new pack from the old one at the same path."""
    array: NDArray[np.uint8] = np.lib.format.open_memmap(path, mode="r")
    return array
