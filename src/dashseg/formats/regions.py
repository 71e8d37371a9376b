"""A label -> its regions as polygons, for tools that store polygons."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.labels import Label, count_ids


@dataclass(frozen=True)
class Region:
    """A connected region (4 neighbours) of one class.

    Args:
        class_id: its id; 255 for a region to ignore.
        ring: float (n, 2) outline, x, y in pixels; (0, 0) is the top left corner of the top left
            pixel, so that integers are edges of pixels.
        holes: outlines of what the region surrounds.
        area: pixels, without holes.
    """

    class_id: int
    ring: NDArray[np.float64]
    holes: tuple[NDArray[np.float64], ...]
    area: int


def find_regions(label: Label, tolerance: float = 0.0, smallest: int = 1) -> list[Region]:
    """All regions of a label, the largest outlines first.

    Drawn in this order as filled outlines, without holes, they give the label again: a region in
    a hole is drawn after the one around it. With `tolerance` 0 the result is exact: two regions of
    4 neighbours never cross, so the smaller outline lies inside the larger one or apart from it.

    Args:
        label: uint8 H×W class ids, 255 = ignore.
        tolerance: how far in pixels a simplified outline may stray (Douglas-Peucker).
        smallest: regions of fewer pixels are left out; what surrounds them takes their place.
    """
    found: list[tuple[float, Region]] = []
    for class_id in np.flatnonzero(count_ids(label)):
        for outline, region in _regions_of(label, int(class_id), tolerance):
            if region.area >= smallest:
                found.append((outline, region))
    found.sort(key=lambda pair: -pair[0])
    return [region for _, region in found]


def bridged(region: Region) -> NDArray[np.float64]:
    """One ring for a region with holes: cuts of no width lead from the outline to each hole."""
    ring = region.ring
    for hole in sorted(region.holes, key=lambda hole: hole[:, 0].min()):
        corner = int(hole[:, 0].argmin())
        nearest = int(((ring - hole[corner]) ** 2).sum(axis=1).argmin())
        around = np.concatenate([hole[corner:], hole[: corner + 1]])
        ring = np.concatenate([ring[: nearest + 1], around, ring[nearest:]])
    return ring


def _regions_of(label: Label, class_id: int, tolerance: float) -> list[tuple[float, Region]]:
    """Regions of a class, each with the area inside its outline."""
    mask = (label == class_id).view(np.uint8)
    _, numbers, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    regions = []
    for number, (left, top, width, height, area) in enumerate(boxes[1:], start=1):
        part = numbers[top : top + height, left : left + width] == number
        # OpenCV's outlines run through the centres of pixels. At twice the size each pixel is
        # 2×2, and half of a coordinate, rounded up, is the edge of the pixel.
        doubled = part.view(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
        outlines, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        rings: list[NDArray[np.float64]] = []
        holes: list[NDArray[np.float64]] = []
        for points, (*_, parent) in zip(outlines, hierarchy[0], strict=True):
            (holes if parent >= 0 else rings).append(_corners((points[:, 0] + 1) // 2))
        (ring,) = rings
        offset = np.array([left, top], np.float64)
        region = Region(
            class_id,
            _simplified(ring, tolerance) + offset,
            tuple(_simplified(hole, tolerance) + offset for hole in holes),
            int(area),
        )
        regions.append((_area(ring), region))
    return regions


def _corners(points: NDArray[np.int32]) -> NDArray[np.float64]:
    """Drop repeated points, and points between two others on a straight line."""
    points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    back = (before * after).sum(axis=1) < 0
    return points[turns | back].astype(np.float64)


def _simplified(ring: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    if tolerance <= 0:
        return ring
    # A staircase's corners lie on both sides of the line that it stands for; the middles of its
    # steps lie on the line, so that simplifying does not move the border to one side.
    ends = np.roll(ring, -1, axis=0)
    steps = np.abs(ends - ring).max(axis=1).astype(int)
    starts = np.repeat(ring, steps, axis=0)
    towards = np.repeat(np.sign(ends - ring), steps, axis=0)
    place = np.arange(len(starts)) - np.repeat(np.cumsum(steps) - steps, steps)
    middles = starts + towards * (place[:, None] + 0.5)
    simple = cv2.approxPolyDP(middles.astype(np.float32)[:, None], tolerance, closed=True)[:, 0]
    return simple.astype(np.float64) if len(simple) >= 3 else ring


def _area(ring: NDArray[np.float64]) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
