"""Logits of any size -> logits, or only the label, at the frame's own size.

A label needs no logits at the frame's size. Between four neighbouring logits whose largest class
is the same, bilinear interpolation cannot make another one the largest; only the cells between
neighbours that disagree, one in ten or so, are interpolated at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.labels import Label

if TYPE_CHECKING:
    from torch import Tensor

Logits = NDArray[np.float32]
Indices = NDArray[np.intp]

_OPEN = 255  # in a label: no class known yet
_PIXELS = 1 << 15  # interpolated at a time: memory stays flat, and a core's cache holds them
# Of the largest logit: what eight roundings of float32 here, and as many in PyTorch, can add up to
# for two classes.
_ROUNDING = 2.0**-19


def upsample(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of logits (C, h, w) -> (C, H, W)."""
    from torch.nn import functional as F

    return F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False)[0]


def label_at(size: tuple[int, int], logits: Tensor | Logits) -> Label:
    """The most likely class of each pixel, at another size; of equal classes the first.

    It is the argmax of `upsample`, pixel for pixel, ties as PyTorch rounds them on a CPU (with
    fused multiply-adds, and for more than 128 rows and columns together: it has other orders of
    rounding for tiny outputs and for channels last, which only exact ties can show).

    Args:
        size: H, W.
        logits: float32 (C, h, w), C below 255; of a tensor on a GPU the label is made there.

    Returns:
        uint8 H×W.
    """
    if isinstance(logits, np.ndarray):
        return _from_array(np.ascontiguousarray(logits, np.float32), size)
    if logits.device.type == "cpu":
        return _from_array(logits.float().contiguous().numpy(), size)
    return _on_device(logits, size)


def _on_device(logits: Tensor, size: tuple[int, int]) -> Label:
    """One class at a time, so that memory takes two maps of that size however many there are."""
    import torch

    label = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    best = upsample(logits[:1], size)[0]  # (H, W)
    for class_id in range(1, len(logits)):
        other = upsample(logits[class_id : class_id + 1], size)[0]
        label.masked_fill_(other > best, class_id)
        torch.maximum(best, other, out=best)
    return label.cpu().numpy()


def _from_array(logits: Logits, size: tuple[int, int]) -> Label:
    rows, columns = _Axis.of(logits.shape[1], size[0]), _Axis.of(logits.shape[2], size[1])
    low, high, _, _ = cv2.minMaxLoc(logits.reshape(len(logits), -1))
    close = max(-low, high) * _ROUNDING
    winner = _clear_winner(logits, close)
    across = _agreed(winner.take(columns.first, 1), winner.take(columns.second, 1))
    cells = _agreed(across.take(rows.first, 0), across.take(rows.second, 0))
    label = cells.take(columns.cell, 1).take(rows.cell, 0)
    row, column = np.nonzero(cells == _OPEN)
    count = max(1, _PIXELS // (rows.longest * columns.longest))
    for start in range(0, len(row), count):
        some = slice(start, start + count)
        _interpolate(logits, rows, columns, row[some], column[some], close, label)
    return label


@dataclass(frozen=True)
class _Axis:
    """Cells between neighbours among n rows (or columns) of logits, and where N of the label lie.

    As PyTorch rounds it. Before the first of n and after the last, a cell has it on both sides.
    Cells that hold no row of the label are left out.
    """

    cell: Indices  # (N,), where each row of the label lies
    weight: Logits  # (N,), of its cell's second side; the first one's is 1 less that
    first: Indices  # (cells,), each cell's first side, 0 to n - 1
    second: Indices  # (cells,)
    start: Indices  # (cells + 1,), its first row of the label

    @classmethod
    @lru_cache(maxsize=8)  # frames of one size follow each other
    def of(cls, old: int, new: int) -> _Axis:
        scale = np.float64(np.float32(old) / np.float32(new))
        at = (scale * (np.arange(new) + 0.5) - 0.5).astype(np.float32)
        above = np.minimum(at.clip(min=0).astype(np.intp), old - 1)
        weight = (at - above.astype(np.float32)).clip(0, 1)
        number, cell = np.unique(np.where(at < 0, 0, above + 1), return_inverse=True)
        start = np.searchsorted(cell, np.arange(len(number) + 1))
        return cls(cell, weight, np.maximum(number - 1, 0), np.minimum(number, old - 1), start)

    @property
    def longest(self) -> int:
        """How many rows of the label a cell holds at most."""
        return int(np.diff(self.start).max())

    def inside(self, cells: Indices) -> Indices:
        """(m, longest): the rows of the label in m cells; where there are fewer, the last again."""
        rows = self.start[cells, None] + np.arange(self.longest)
        return np.minimum(rows, self.start[cells + 1, None] - 1)

    def sides(self, cells: Indices) -> Indices:
        """(m, 2): both sides of m cells."""
        return np.stack((self.first[cells], self.second[cells]), 1)

    def weights(self, rows: Indices) -> Logits:
        """(..., 2): of both sides, for rows of the label."""
        second = self.weight[rows]
        return np.stack((1 - second, second), -1)


def _clear_winner(maps: Logits, close: float) -> Label:
    """uint8 (h, w): the largest class of (C, h, w), `_OPEN` where the next is within `close`."""
    best = maps[0].copy()
    second, lower = np.full_like(best, -np.inf), np.empty_like(best)
    winner = np.zeros(best.shape, np.uint8)
    ids = np.empty_like(winner)  # what cv2.copyTo copies from: the class's id everywhere
    for class_id, value in enumerate(maps[1:], 1):
        ids.fill(class_id)
        cv2.copyTo(ids, cv2.compare(value, best, cv2.CMP_GT), winner)
        cv2.min(best, value, dst=lower)
        cv2.max(second, lower, dst=second)
        cv2.max(best, value, dst=best)
    cv2.subtract(best, second, dst=lower)
    winner[~(lower > close)] = _OPEN  # not <=: NaN is nobody's winner
    return winner


def _agreed(first: Label, second: Label) -> Label:
    """Where two labels have one class, that; elsewhere `_OPEN`."""
    return np.where(first == second, first, np.uint8(_OPEN))


def _interpolate(
    logits: Logits,
    rows: _Axis,
    columns: _Axis,
    row: Indices,
    column: Indices,
    close: float,
    label: Label,
) -> None:
    """Fill in the label in m cells, given by their row and column (m,)."""
    width = label.shape[1]
    y, x = rows.inside(row), columns.inside(column)  # (m, K), (m, L)
    pixels = (y * width)[:, :, None] + x[:, None]  # (m, K, L), of the flat label
    corners = _at(logits, rows.sides(row)[:, :, None], columns.sides(column)[:, None])
    values = rows.weights(y) @ (corners @ columns.weights(x).swapaxes(1, 2))  # (C, m, K, L)
    winner = _clear_winner(values.reshape(len(values), len(y), -1), close).reshape(pixels.shape)
    label.reshape(-1)[pixels] = winner
    tied = pixels[winner == _OPEN]
    label.reshape(-1)[tied] = _exact(logits, rows, columns, *np.divmod(tied, width))


def _at(logits: Logits, row: Indices, column: Indices) -> Logits:
    """(C, ...): logits (C, h, w) at these rows and columns."""
    return logits.reshape(len(logits), -1).take(row * logits.shape[2] + column, 1)


def _exact(logits: Logits, rows: _Axis, columns: _Axis, y: Indices, x: Indices) -> Indices:
    """(n,): the largest class at n pixels of the label, rounded as PyTorch's kernel rounds."""
    above, below = rows.sides(rows.cell[y]).T
    left, right = columns.sides(columns.cell[x]).T
    upper = _mixed(_at(logits, above, left), _at(logits, above, right), columns.weight[x])
    lower = _mixed(_at(logits, below, left), _at(logits, below, right), columns.weight[x])
    return _mixed(upper, lower, rows.weight[y]).argmax(0)


def _mixed(first: Logits, second: Logits, weight: Logits) -> Logits:
    """Weighted mean by a fused multiply-add: of the two products only the second is rounded."""
    exact: NDArray[np.float64] = first.astype(np.float64) * (1 - weight) + second * weight
    return exact.astype(np.float32)
