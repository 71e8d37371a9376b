"""Shapes -> a label: polygons without antialiasing, holes cut out, later shapes over earlier ones.

Polygons are filled by COCO's own rule (pycocotools): a polygon along pixel edges covers exactly
the pixels inside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from dashseg.errors import InputError
from dashseg.formats.source import UNLABELLED, Raster, Shape, Shapes
from dashseg.labels import IGNORE, Label


def to_label(
    content: Raster | Shapes,
    size: tuple[int, int],
    targets: NDArray[np.uint8],
    background: int = IGNORE,
    ranks: Sequence[int] | None = None,
) -> Label:
    """A frame's label in the target classes.

    Args:
        content: what the source stores.
        size: (H, W) of the frame.
        targets: uint8 (number of source classes,): the target id of each source class.
        background: target id of pixels that no shape covers, and of `UNLABELLED` ones.
        ranks: one number per source class: where shapes overlap, the higher is drawn over the
            lower. None: as the source orders them.

    Returns:
        uint8 H×W target ids.

    Raises:
        InputError: the content has another size, or a shape lies outside the frame.
    """
    if isinstance(content, Raster):
        _same_size(content.pixels.shape, size)
        table = np.full(UNLABELLED + 1, background, np.uint8)
        table[: len(targets)] = targets
        return np.take(table, content.pixels)
    if content.size is not None:
        _same_size(content.size, size)
    label = np.full(size, background, np.uint8)
    order = sorted(
        content.shapes,
        key=lambda shape: (ranks[shape.class_index] if ranks else 0, shape.z),
    )
    for shape in order:
        _draw(shape, label, targets[shape.class_index])
    return label


def fill(rings: Sequence[NDArray[np.float64]], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels inside any of the polygons: bool H×W.

    Raises:
        InputError: a polygon has fewer than three corners, or one that is not a finite number.
    """
    flat = [np.asarray(ring, np.float64).reshape(-1) for ring in rings]
    for ring in flat:
        if len(ring) < 6:
            raise InputError(f"a polygon of {len(ring) // 2} points; it needs three or more")
        if not np.isfinite(ring).all() or np.abs(ring).max() > 1e6:
            raise InputError("a polygon has a corner that is not a number or is out of all bounds")
    codes = coco_mask.frPyObjects([ring.tolist() for ring in flat], *size)
    return coco_mask.decode(coco_mask.merge(codes)).astype(bool)


def ellipse(
    x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0
) -> NDArray[np.float64]:
    """A polygon (n, 2) that strays less than 0.05 pixels from an ellipse, turned clockwise."""
    radius = max(radius_x, radius_y, 1)
    corners = int(np.clip(np.pi / np.sqrt(0.1 / radius), 16, 2000)) + 1
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    along, across = radius_x * np.cos(angles), radius_y * np.sin(angles)
    turn = np.deg2rad(degrees)
    return np.stack(
        [
            x + along * np.cos(turn) - across * np.sin(turn),
            y + along * np.sin(turn) + across * np.cos(turn),
        ],
        axis=1,
    )


def rectangle(left: float, top: float, right: float, bottom: float) -> NDArray[np.float64]:
    """The polygon (4, 2) of a box, for corners in any order."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def _draw(shape: Shape, label: Label, target: int) -> None:
    height, width = label.shape
    if shape.mask is not None:
        top, left = shape.at
        rows, columns = shape.mask.shape
        if top < 0 or left < 0 or top + rows > height or left + columns > width:
            raise InputError(
                f"a mask of {columns}×{rows} pixels at {left}, {top} does not fit in the frame of"
                f" {width}×{height}"
            )
        label[top : top + rows, left : left + columns][shape.mask] = target
        return
    corners = np.concatenate(shape.rings) if shape.rings else np.zeros((0, 2))
    if len(corners) == 0:
        return
    low, high = corners.min(axis=0), corners.max(axis=0)
    if (high <= 0).any() or low[0] >= width or low[1] >= height:
        raise InputError(
            f"a polygon from {low[0]:.0f}, {low[1]:.0f} to {high[0]:.0f}, {high[1]:.0f} lies"
            f" outside the frame of {width}×{height}"
        )
    left, top = np.maximum(np.floor(low), 0).astype(int)
    right, bottom = np.minimum(np.ceil(high), (width, height)).astype(int)
    box = (bottom - top, right - left)  # a whole frame for each small shape takes ten times as long
    offset = np.array([left, top], np.float64)
    inside = fill([ring - offset for ring in shape.rings], box)
    if shape.holes:
        inside &= ~fill([hole - offset for hole in shape.holes], box)
    label[top:bottom, left:right][inside] = target


def _same_size(found: tuple[int, ...], size: tuple[int, int]) -> None:
    if tuple(found) != size:
        raise InputError(
            f"its label is for {found[1]}×{found[0]} pixels; the image has {size[1]}×{size[0]}"
        )
