"""Logits at the working size -> logits, or only the label, at the frame's own size.

A label needs no logits at the frame's size. Between four neighbouring logits whose largest class
is the same, bilinear interpolation cannot make another one the largest; only the pixels between
neighbours that disagree, a few in a hundred, are interpolated at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
_STRIP = 64  # rows: maps of so many stay in a core's cache, 30 % faster than whole ones
_PIXELS = 1 << 16  # interpolated at a time, so that memory stays flat if all of them are
# Of the largest logit: what eight roundings of float32 can add up to, twice.
_ROUNDING = 2.0**-20


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
    cells = _unanimous(_clear_winner(logits, close))
    label = cells.take(columns.first, 1).take(rows.first, 0)
    flat = label.reshape(-1)
    pixels = np.flatnonzero(flat == _OPEN)
    for start in range(0, len(pixels), _PIXELS):
        some = pixels[start : start + _PIXELS]
        flat[some] = _interpolate(logits, rows, columns, some, close)
    return label


@dataclass(frozen=True)
class _Axis:
    """Where each of N output rows (or columns) lies between two of n, as PyTorch rounds it."""

    first: Indices  # (N,) of the two
    second: Indices
    first_weight: NDArray[np.float32]  # (N,), together 1
    second_weight: NDArray[np.float32]

    @classmethod
    def of(cls, old: int, new: int) -> _Axis:
        scale = np.float64(np.float32(old) / np.float32(new))
        at = (scale * (np.arange(new) + 0.5) - 0.5).astype(np.float32).clip(min=0)
        first = np.minimum(at.astype(np.intp), old - 1)
        weight = (at - first.astype(np.float32)).clip(0, 1)
        return cls(first, np.minimum(first + 1, old - 1), 1 - weight, weight)


def _clear_winner(logits: Logits, close: float) -> Label:
    """uint8 (h, w): the largest class, `_OPEN` where the next is within `close` of it."""
    classes, height, width = logits.shape
    winner = np.zeros((height, width), np.uint8)
    for top in range(0, height, _STRIP):
        strip = logits[:, top : top + _STRIP]
        label = winner[top : top + _STRIP]
        best = strip[0].copy()
        second = np.full_like(best, -np.inf)
        lower = np.empty_like(best)
        value = np.empty_like(label)  # what cv2.copyTo copies from: the class's id everywhere
        for class_id in range(1, classes):
            value.fill(class_id)
            cv2.copyTo(value, cv2.compare(strip[class_id], best, cv2.CMP_GT), label)
            cv2.min(best, strip[class_id], dst=lower)
            cv2.max(second, lower, dst=second)
            cv2.max(best, strip[class_id], dst=best)
        cv2.subtract(best, second, dst=lower)
        label[~(lower > close)] = _OPEN  # not <=: NaN is nobody's winner
    return winner


def _unanimous(label: Label) -> Label:
    """uint8 (h, w): the class of a pixel and its neighbours right and below, `_OPEN` if several."""
    right = np.concatenate((label[:, 1:], label[:, -1:]), 1)
    same = label == right
    below = np.concatenate((label[1:], label[-1:]))
    same &= label == below
    same &= label == np.concatenate((right[1:], right[-1:]))
    return np.where(same, label, np.uint8(_OPEN))


def _interpolate(
    logits: Logits, rows: _Axis, columns: _Axis, pixels: Indices, close: float
) -> Label:
    """uint8 (n,): the largest class at n pixels, given by their index in the output's H·W."""
    y, x = np.divmod(pixels, len(columns.first))
    above, below = rows.first[y] * logits.shape[2], rows.second[y] * logits.shape[2]
    left, right = columns.first[x], columns.second[x]
    corners = (above + left, above + right, below + left, below + right)
    weights = (
        columns.first_weight[x], columns.second_weight[x],
        rows.first_weight[y], rows.second_weight[y],
    )  # fmt: skip
    maps = logits.reshape(len(logits), -1)
    label = np.zeros(len(pixels), np.uint8)
    best = _blend([maps[0][at] for at in corners], weights)
    second = np.full_like(best, -np.inf)
    for class_id in range(1, len(maps)):
        value = _blend([maps[class_id][at] for at in corners], weights)
        label[value > best] = class_id
        np.maximum(second, np.minimum(best, value), out=second)
        np.maximum(best, value, out=best)
    ties = np.flatnonzero(~(best - second > close))  # not <=: NaN is nobody's winner
    if len(ties):
        exact = [
            _blend_fused([values[at[ties]] for at in corners], [each[ties] for each in weights])
            for values in maps
        ]
        label[ties] = np.argmax(exact, 0)
    return label


def _blend(corners: list[Logits], weights: Sequence[Logits]) -> Logits:
    upper_left, upper_right, lower_left, lower_right = corners
    left, right, upper, lower = weights
    above: Logits = upper_left * left + upper_right * right
    below: Logits = lower_left * left + lower_right * right
    return above * upper + below * lower


def _blend_fused(corners: list[Logits], weights: Sequence[Logits]) -> Logits:
    """`_blend` in the order of PyTorch's kernel, each first product unrounded until it is added."""
    upper_left, upper_right, lower_left, lower_right = corners
    left, right, upper, lower = weights
    above = _multiply_add(upper_left, left, upper_right * right)
    below = _multiply_add(lower_left, left, lower_right * right)
    return _multiply_add(above, upper, below * lower)


def _multiply_add(a: Logits, b: Logits, c: Logits) -> Logits:
    exact: NDArray[np.float64] = a.astype(np.float64) * b + c
    return exact.astype(np.float32)
