"""Probabilities + label -> the regions where the model is sure of another class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.images import resize_label
from dashseg.labels import IGNORE, Label

SURE = 0.5  # more than all other classes together
SMALLEST = 1e-4  # of the frame: 100 pixels of 1164×874, a far lane marking
MOST = 16  # regions kept of a frame, largest weight first: a wrong mask gives hundreds

Floats = NDArray[np.float32]


class Box(NamedTuple):
    """In pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Region:
    """A connected part of a frame that is drawn as one class and seen as another."""

    number: int  # 1 for the one that weighs most; its value in `Found.numbers`
    drawn: int  # class id
    seen: int
    area: int  # pixels at the frame's own size
    box: Box  # at the frame's own size
    confidence: float  # mean probability of the class seen
    score: float  # mean probability of the class drawn: low is suspect, as for frames


@dataclass(frozen=True)
class Found:
    """The regions of a frame, and where they are."""

    regions: tuple[Region, ...]  # the one that weighs most first
    numbers: Label  # uint8 H×W at the frame's own size: a region's number, 0 elsewhere


def find_regions(
    probabilities: Floats, small_label: Label, prediction: Label, label: Label
) -> Found:
    """Find the connected parts that are drawn as one class while the model is sure of another.

    They are found at working size, 8-connected, for one pair of classes at a time. At the frame's
    own size they end where label or prediction changes.

    Args:
        probabilities: float32 (C, h, w), at working size.
        small_label: uint8 (h, w), the label at working size, 255 = ignore.
        prediction: uint8 H×W, at the frame's own size.
        label: uint8 H×W.
    """
    numbers = np.zeros(label.shape, np.uint8)
    regions: list[Region] = []
    for part in sorted(_parts(probabilities, small_label), key=lambda part: -part.weight)[:MOST]:
        mask = part.parts == part.number
        inside = _at_own_size(mask, label.shape)
        inside &= (prediction == part.seen) & (label == part.drawn) & (numbers == 0)
        area = int(inside.sum())
        if area < max(1, SMALLEST * label.size):
            continue
        number = len(regions) + 1
        numbers[inside] = number
        regions.append(
            Region(
                number,
                part.drawn,
                part.seen,
                area,
                _box(inside),
                confidence=float(probabilities[part.seen][mask].mean()),
                score=float(probabilities[part.drawn][mask].mean()),
            )
        )
    return Found(tuple(regions), numbers)


class _Part(NamedTuple):
    drawn: int
    seen: int
    weight: float  # Σ (probability of the class seen − of the class drawn)
    parts: NDArray[np.int32]  # (h, w), shared by all parts of a pair of classes
    number: int  # its number in `parts`


def _parts(probabilities: Floats, label: Label) -> Iterator[_Part]:
    """The connected parts at working size; of each pair of classes the `MOST` that weigh most."""
    classes = len(probabilities)
    seen = probabilities.argmax(0)
    differs = (seen != label) & (label != IGNORE) & (probabilities.max(0) > SURE)
    for pair in np.unique(label[differs].astype(np.intp) * classes + seen[differs]).tolist():
        is_drawn, is_seen = divmod(pair, classes)
        mask = differs & (label == is_drawn) & (seen == is_seen)
        count, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        margin = (probabilities[is_seen] - probabilities[is_drawn]) * mask
        weights = np.bincount(parts.ravel(), margin.ravel(), minlength=count)
        for part in np.argsort(-weights[1:], kind="stable")[:MOST] + 1:  # 0 is the background
            yield _Part(is_drawn, is_seen, float(weights[part]), parts, int(part))


def _at_own_size(mask: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Enlarged, and dilated by a pixel, so that the prediction's own edge bounds it."""
    wider = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8))
    return resize_label(wider, (size[0], size[1])) > 0


def _box(mask: NDArray[np.bool_]) -> Box:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
