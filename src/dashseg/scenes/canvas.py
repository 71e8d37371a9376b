"""Picture, label and depth, painted together: whatever covers a pixel in one covers it in all.

Objects are painted from far to near. Each is first drawn on a Layer, a window of the canvas at a
multiple of its resolution, and reduced by area: the share of a pixel that the object covers
blends its colour, and half or more of it makes the pixel the object's in label and depth.
Colours are linear light, float32, where 1.0 is a white surface in full daylight.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.scenes.camera import Float32s, Floats

ROAD, MARKING, UNDRIVABLE, MOVABLE, MY_CAR = range(5)  # comma10k's own order

Colour = Sequence[float] | Floats | Float32s


def colour(text: str) -> Floats:
    """A screen colour such as "8a8a80" as linear red, green, blue."""
    return (np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)]) / 255.0) ** 2  # gamma 2


class Lamp(NamedTuple):
    """A point of light: where in the image, how far, how big in pixels, linear colour."""

    u: float
    v: float
    z: float
    radius: float
    colour: Floats
    reflection_v: float  # image row where a wet road mirrors it


class Canvas:
    """rgb (H, W, 3) float32 linear light; label (H, W) uint8; depth (H, W) float32 metres."""

    def __init__(self, height: int, width: int) -> None:
        self.rgb: Float32s = np.zeros((height, width, 3), np.float32)
        self.label: NDArray[np.uint8] = np.full((height, width), UNDRIVABLE, np.uint8)
        self.depth: Float32s = np.full((height, width), np.inf, np.float32)
        self.lamps: list[Lamp] = []

    def stamp(
        self, rgba: Float32s, left: int, top: int, label: int, z: float, bottom: float = np.inf
    ) -> None:
        """Lay premultiplied rgba (h, w, 4) over the canvas, all of it above image row `bottom`."""
        rows = int(min(rgba.shape[0], np.ceil(bottom) - top)) if np.isfinite(bottom) else len(rgba)
        if rows <= 0:
            return
        rgba = rgba[:rows]
        window = slice(top, top + rows), slice(left, left + rgba.shape[1])
        alpha = np.ascontiguousarray(rgba[..., 3])
        rest = 1.0 - alpha
        target = self.rgb[window]
        target *= cv2.merge((rest, rest, rest))  # thrice as fast as broadcasting
        target += cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
        mine = alpha >= 0.5
        np.copyto(self.label[window], np.uint8(label), where=mine)
        np.copyto(self.depth[window], np.float32(z), where=mine)


class Layer:
    """A window of the canvas at `scale` times its resolution, to draw polygons on."""

    def __init__(self, canvas: Canvas, box: Sequence[float], scale: int | None = None) -> None:
        """box: left, top, right, bottom in image pixels; what lies outside the image is cut off."""
        height, width = canvas.label.shape
        self.left, self.top = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
        right, bottom = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
        self.corner = np.array([self.left, self.top])
        self.width, self.height = max(0, right - self.left), max(0, bottom - self.top)
        area = self.width * self.height
        self.scale = scale or (4 if area < 30_000 else 3 if area < 120_000 else 2)
        self.canvas = canvas
        shape = (self.height * self.scale, self.width * self.scale, 4)
        self.rgba: Float32s = np.zeros(shape, np.float32)

    @property
    def empty(self) -> bool:
        return self.width == 0 or self.height == 0

    def _to_layer(self, points: Floats) -> NDArray[np.int32]:
        """Image pixels (..., 2) to the layer's, in the 1/16 steps that OpenCV's shift=4 expects."""
        inside = (points - self.corner) * self.scale - 0.5
        # minimum, maximum and rint: half the time of clip and round on so few points.
        near = np.minimum(np.maximum(inside, -30_000.0), 30_000.0)
        return np.rint(near * 16).astype(np.int32)

    def polygon(self, points: Floats, fill: Colour) -> None:
        """Fill one polygon (N, 2) of image pixels with a linear colour."""
        self.polygons(points[None], fill)

    def polygons(self, points: Floats, fill: Colour) -> None:
        """Fill N polygons (N, M, 2) that do not overlap with one linear colour."""
        r, g, b = (float(c) for c in fill)
        cv2.fillPoly(self.rgba, list(self._to_layer(points)), (r, g, b, 1.0), cv2.LINE_8, 4)

    def faces(self, points: Floats, fills: Floats) -> None:
        """Fill N polygons (N, M, 2) one after the other, each with its own colour (N, 3)."""
        if self.empty or len(points) == 0:
            return
        fixed = self._to_layer(points)
        low, high = fixed.min(axis=1), fixed.max(axis=1)
        seen = (high >= 0).all(1) & (low < np.array(self.rgba.shape[1::-1]) * 16).all(1)
        for corners, (r, g, b) in zip(fixed[seen], fills[seen].tolist(), strict=True):
            cv2.fillPoly(self.rgba, [corners], (r, g, b, 1.0), cv2.LINE_8, 4)

    def line(self, points: Floats, fill: Colour, width: float) -> None:
        """Draw a polyline (N, 2), `width` image pixels wide (at least 1 / scale)."""
        r, g, b = (float(c) for c in fill)
        thick = max(1, round(width * self.scale))
        path = [self._to_layer(points)]
        cv2.polylines(self.rgba, path, False, (r, g, b, 1.0), thick, cv2.LINE_8, 4)

    def reduced(self) -> Float32s:
        """The layer at the canvas's resolution, premultiplied (height, width, 4)."""
        small = self.rgba
        if self.scale == 4:  # halved twice: three times as fast as one step to a quarter
            small = _shrunk(small, self.width * 2, self.height * 2)
        return _shrunk(small, self.width, self.height)

    def stamp(self, label: int, z: float, bottom: float = np.inf) -> None:
        """Put the layer on its canvas."""
        if not self.empty:
            self.canvas.stamp(self.reduced(), self.left, self.top, label, z, bottom)


def _shrunk(image: Float32s, width: int, height: int) -> Float32s:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(
        np.float32, copy=False
    )


def bounds(points: Floats, margin: float = 1.0) -> tuple[float, float, float, float]:
    """The box (left, top, right, bottom) around points (..., 2), `margin` pixels larger."""
    flat = points.reshape(-1, 2)
    low, high = flat.min(axis=0) - margin, flat.max(axis=0) + margin
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])
