"""Count one labelled frame; sum counts over frames in constant memory."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dashseg.curate.brightness import GROUPS, brightness_group, luminance
from dashseg.curate.class_balance import ClassPixels
from dashseg.data.dataset import Sample
from dashseg.errors import InputError

GRID = 72, 96  # rows, columns of a heat map: cells of 12×12 pixels in comma10k's 874×1164
LUMA_BINS = 64  # of 4 grey levels each


class FrameCounts(NamedTuple):
    """What one frame adds to the sums."""

    size: tuple[int, int]  # H, W
    pixels: NDArray[np.int64]  # (C,) of each class; ignored pixels are not counted
    cover: NDArray[np.float32]  # (*GRID, C): share of a cell's pixels that are of the class
    luma: float  # mean, 0-255


def count_frame(sample: Sample, num_classes: int) -> FrameCounts:
    """Count one frame. A pixel belongs to the cell of the grid in which its centre lies.

    Raises:
        InputError: the label holds an id that is no class.
    """
    label, ids = sample.label, num_classes + 1
    cells = _cells(*label.shape, ids)
    # By runs: pixels of a row that follow each other in one cell with one id. A drawn mask has a
    # tenth as many as pixels: 2 ms for 874×1164 of them, where one histogram over all pixels takes
    # 4 and averaging by cv2.resize 5 a class.
    begins = np.broadcast_to(cells.begin, label.shape).copy()
    begins[:, 1:] |= label[:, 1:] != label[:, :-1]
    runs = np.flatnonzero(begins)
    lengths = np.diff(runs, append=label.size)
    found = label.ravel()[runs] + np.uint8(1)  # 255, ignore, becomes 0: the ids have no gap
    if found.max() > num_classes:
        raise InputError(
            f"{sample.name}: label id {found.max() - 1} is not one of the {num_classes}"
        )
    rows, columns = cells.area.shape
    bins = cells.first_bin.ravel()[runs] + found
    counts = np.bincount(bins, lengths, minlength=rows * columns * ids)
    counts = counts.reshape(rows, columns, ids)[..., 1:]
    cover = (counts / cells.area[..., None]).astype(np.float32)
    if (rows, columns) != GRID:  # a frame of fewer pixels than cells: the nearest one's
        cover = cover[np.arange(GRID[0]) * rows // GRID[0]]
        cover = cover[:, np.arange(GRID[1]) * columns // GRID[1]]
    luma = luminance(sample.image)
    return FrameCounts(label.shape, counts.sum((0, 1)).astype(np.int64), cover, luma)


class _Cells(NamedTuple):
    """How the grid's cells lie on frames of one size."""

    begin: NDArray[np.bool_]  # (W,): whether a column is the first of its cells
    first_bin: NDArray[np.int32]  # (H, W): of the pixel's cell in a histogram over cell and id
    area: NDArray[np.int64]  # (rows, columns): pixels of each cell


@lru_cache(maxsize=4)  # a data set has few sizes; each takes 4 bytes a pixel
def _cells(height: int, width: int, ids: int) -> _Cells:
    rows, columns = min(GRID[0], height), min(GRID[1], width)
    row = (2 * np.arange(height, dtype=np.int32) + 1) * rows // (2 * height)
    column = (2 * np.arange(width, dtype=np.int32) + 1) * columns // (2 * width)
    return _Cells(
        begin=np.diff(column, prepend=-1) > 0,
        first_bin=(row[:, None] * columns + column) * np.int32(ids),
        area=np.outer(np.bincount(row), np.bincount(column)),
    )


class Totals:
    """Sums over frames.

    Attributes:
        frames: how many.
        sizes: (H, W) -> frames of that size.
        pixels: of each class, and the frames it is in.
        all_pixels: of all frames, ignored ones included.
        cover: float64 (*GRID, C), sum of the frames' own.
        luma: sum of the frames' mean luma.
        luma_bins: int64 (LUMA_BINS,), frames by mean luma from 0 to 256.
        groups: brightness group -> frames.
    """

    def __init__(self, num_classes: int) -> None:
        self.frames = 0
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.pixels = ClassPixels(num_classes)
        self.all_pixels = 0
        self.cover = np.zeros((*GRID, num_classes))
        self.luma = 0.0
        self.luma_bins = np.zeros(LUMA_BINS, np.int64)
        self.groups = dict.fromkeys(GROUPS, 0)

    def add(self, frame: FrameCounts) -> None:
        self.frames += 1
        self.sizes[frame.size] += 1
        self.pixels.add(frame.pixels)
        self.all_pixels += frame.size[0] * frame.size[1]
        self.cover += frame.cover
        self.luma += frame.luma
        self.luma_bins[int(frame.luma * LUMA_BINS / 256)] += 1
        self.groups[brightness_group(frame.luma)] += 1

    def to_json(self) -> dict[str, Any]:
        """JSON values from which `from_json` restores exactly these sums."""
        return {
            "frames": self.frames,
            "sizes": [[*size, frames] for size, frames in self.sizes.items()],
            "counts": self.pixels.counts.tolist(),
            "present": self.pixels.present.tolist(),
            "class_frames": self.pixels.frames.tolist(),
            "all_pixels": self.all_pixels,
            "cover": self.cover.ravel().tolist(),
            "luma": self.luma,
            "luma_bins": self.luma_bins.tolist(),
            "groups": self.groups,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], num_classes: int) -> Totals:
        """Raises KeyError, TypeError or ValueError if the values do not fit."""
        totals = cls(num_classes)
        totals.frames, totals.all_pixels = int(values["frames"]), int(values["all_pixels"])
        totals.sizes.update({(int(h), int(w)): int(n) for h, w, n in values["sizes"]})
        for array, key in (
            (totals.pixels.counts, "counts"),
            (totals.pixels.present, "present"),
            (totals.pixels.frames, "class_frames"),
            (totals.cover, "cover"),
            (totals.luma_bins, "luma_bins"),
        ):
            array[...] = np.array(values[key], array.dtype).reshape(array.shape)
        totals.luma = float(values["luma"])
        totals.groups = {group: int(values["groups"][group]) for group in GROUPS}
        return totals
