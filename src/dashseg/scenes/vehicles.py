"""Cars, pickups, vans, buses and trucks, painted face by face into picture and label."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.scenes.camera import Float32s, Floats, View
from dashseg.scenes.canvas import MOVABLE, Canvas, Colour, Lamp, Layer, bounds, colour
from dashseg.scenes.light import Light
from dashseg.scenes.vehicle_shapes import (
    BODIES,
    FLOORS,
    MIX,
    MIX_ABROAD,
    SHAPES,
    UNDERSIDES,
    WHEELS,
    Body,
)

SMALLEST = 4.0  # pixels of width; what looks smaller is neither painted nor labelled
FAINTEST = 0.12  # of its contrast; what fog leaves less of neither


PAINTS = [
    "d9d9d6", "c4c6c8", "8a8d91", "55585c", "1f2124", "17181b", "e4e2da", "8c1f22", "27407a",
    "3d5a4a", "7a6a55", "5b1c24", "2f5f8f", "b8b2a0",
]  # fmt: skip
BOXES = ["e6e6e2", "d8d8d4", "c9cdd2", "f0efe9", "8f9aa5", "b54a32", "35608f"]
PAINTS_ABROAD = [
    *PAINTS, "e8b820", "f0f0ee", "eceae4", "2f7a3f", "c8402a", "e07a28", "3f8fc0", "b02020",
]  # fmt: skip
GLASS, TYRE, HUB, UNDER = colour("20262c"), colour("151516"), colour("8d9094"), colour("0c0c0d")


class Vehicle(NamedTuple):
    """A vehicle on the road: x of its middle, z of its nearer end, 1 for our direction.

    yaw: radians to the right of our direction, about its middle; then `direction` is 1, and the
    middle stands half its length beyond z.
    """

    kind: str
    x: float
    z: float
    direction: int
    paint: Colour
    lights_on: bool
    braking: bool
    plate: Colour
    yaw: float = 0.0


def sample_vehicle(
    rng: np.random.Generator, x: float, z: float, direction: int, lit: bool, abroad: bool = False
) -> Vehicle:
    """Draw what vehicle stands there; abroad: one of other countries' roads."""
    mix = MIX_ABROAD if abroad else MIX
    kind = str(rng.choice(list(mix), p=list(mix.values())))
    boxed = kind in ("van", "truck", "trailer") and not (abroad and rng.random() < 0.4)
    paints = PAINTS_ABROAD if abroad else PAINTS
    paint = colour(str(rng.choice(BOXES if boxed else paints))) * rng.uniform(0.8, 1.05)
    braking = bool(rng.random() < 0.14)
    plate = colour(str(rng.choice(["e8e8e2", "d8d0a8", "c8d4e6"])))
    return Vehicle(kind, x, z, direction, paint, lit, braking, plate)


class _Placed:
    """A vehicle's own coordinates on the road, seen by the camera."""

    def __init__(self, vehicle: Vehicle, view: View) -> None:
        self.shape, self.vehicle, self.view = SHAPES[vehicle.kind], vehicle, view

    def road(self, points: Floats) -> tuple[Floats, Floats, Floats]:
        """Own (..., 3) to road coordinates x, y, z; an oncoming vehicle shows its nose."""
        x, y, s = points[..., 0], points[..., 1], points[..., 2]
        if self.vehicle.yaw:
            cos, sin = np.cos(self.vehicle.yaw), np.sin(self.vehicle.yaw)
            half = self.shape.length / 2
            ahead = s - half
            return (
                self.vehicle.x + x * cos + ahead * sin,
                y,
                self.vehicle.z + half + ahead * cos - x * sin,
            )
        if self.vehicle.direction > 0:
            return self.vehicle.x + x, y, self.vehicle.z + s
        return self.vehicle.x - x, y, self.vehicle.z + self.shape.length - s

    def world(self, points: Floats) -> Floats:
        """Own (..., 3) to world coordinates, where normals and distances are true."""
        x, y, z = self.road(points)
        ahead = np.maximum(z, 0.3)
        return np.stack([x + self.view.centre(ahead), y + self.view.rise(ahead), z], -1)

    def image(self, points: Floats) -> Floats:
        """Own (..., 3) to pixels (..., 2)."""
        return self.view.project(*self.road(points))

    def sees(self, points: Floats, normal: tuple[float, float, float]) -> NDArray[np.bool_]:
        """Whether the camera sees, from outside, faces at own (N, 3) with an own unit normal."""
        at, tip = self.world(points), self.world(points + np.array(normal))
        eye = np.array([0.0, self.view.camera.eye, 0.0])
        return ((eye - at) * (tip - at)).sum(-1) > 0.0

    def end(self) -> float | None:
        """The end that the camera sees, as s of its face; None: it sees neither."""
        length = self.shape.length
        if not self.vehicle.yaw:
            return 0.0 if self.vehicle.direction > 0 else length
        for s, ahead in ((0.0, -1.0), (length, 1.0)):
            if self.sees(np.array([[0.0, 1.0, s]]), (0.0, 0.0, ahead))[0]:
                return s
        return None


def is_visible(vehicle: Vehicle, view: View, light: Light) -> bool:
    """Whether it stands ahead, is wide enough in pixels and not lost in fog."""
    wide = SHAPES[vehicle.kind].width * view.scale(vehicle.z)
    clear = float(light.clearness(vehicle.z))
    return wide >= SMALLEST and vehicle.z >= 2.0 and clear >= FAINTEST


def paint_shadow(canvas: Canvas, view: View, light: Light, vehicle: Vehicle) -> None:
    """Darken the ground under and, in the sun, beside a vehicle."""
    if not is_visible(vehicle, view, light):
        return
    shape = SHAPES[vehicle.kind]
    half = shape.width / 2
    near, far = max(vehicle.z, 1.2), vehicle.z + shape.length
    body = np.array([[-half, near], [half, near], [half, far], [-half, far]])
    if vehicle.yaw:
        middle, cos, sin = near + shape.length / 2, np.cos(vehicle.yaw), np.sin(vehicle.yaw)
        body = (body - (0.0, middle)) @ np.array([[cos, -sin], [sin, cos]]) + (0.0, middle)
        body[:, 1] = np.maximum(body[:, 1], 1.2)
    body[:, 0] += vehicle.x
    outlines = [(body, 0.8)]
    sx, sy, sz = light.sun_direction
    sunny = light.sun[1] > 0.3
    if sunny:
        long = min(shape.height * 0.8 / max(sy, 0.25), 4.0)
        thrown = body - (sx * long, sz * long)
        thrown[:, 1] = np.maximum(thrown[:, 1], 1.2)
        outlines.insert(0, (_hull(np.concatenate([body, thrown]).astype(np.float32)), 0.6))
    soft = view.scale(vehicle.z) * (0.05 if sunny else 0.16)  # pixels
    pixels = [(view.project(o[:, 0], 0.0, o[:, 1]), strength) for o, strength in outlines]
    left, top, right, bottom = bounds(np.concatenate([p for p, _ in pixels]), 3 * soft + 2)
    height, width = canvas.label.shape
    left, top = max(0, int(left)), max(0, int(top))
    right, bottom = min(width, int(right) + 1), min(height, int(bottom) + 1)
    if right <= left or bottom <= top:
        return
    shade = np.zeros((bottom - top, right - left), np.float32)
    for points, strength in pixels:
        inside = np.clip(points - (left, top) - 0.5, -20_000, 20_000)
        cv2.fillPoly(shade, [np.round(inside * 16).astype(np.int32)], strength, cv2.LINE_8, 4)
    shade = cv2.GaussianBlur(shade, (0, 0), max(soft, 0.5))
    rest = 1.0 - shade * float(light.clearness(vehicle.z))
    canvas.rgb[top:bottom, left:right] *= cv2.merge((rest, rest, rest))


def _hull(points: Float32s) -> Floats:
    return cv2.convexHull(points)[:, 0].astype(float)


def paint_vehicle(canvas: Canvas, view: View, light: Light, vehicle: Vehicle) -> None:
    """Paint a vehicle into picture, label and depth, and note its lamps."""
    if not is_visible(vehicle, view, light):
        return
    at = _Placed(vehicle, view)
    shape = at.shape
    wide = shape.width * view.scale(vehicle.z)
    body = BODIES[vehicle.kind, wide > 40]
    outline = at.image(body.points)
    feet = at.image(np.array([[x, 0.0, s] for x in (-1.0, 1.0) for s in (0.0, shape.length)]))
    layer = Layer(canvas, bounds(np.concatenate([outline.reshape(-1, 2), feet]), 2.0))
    if layer.empty:
        return
    air = float(light.clearness(vehicle.z))
    world_x = vehicle.x + float(view.centre(vehicle.z))
    beam = float(light.beam(world_x, vehicle.z)) * 0.5

    def tone(surface: Colour, lit: Floats | float) -> Floats:
        return np.asarray(surface) * lit * air + light.horizon * (1.0 - air)

    _paint_underside(layer, at, tone, light.level * 0.5 + beam)
    _paint_skin(layer, at, body, outline, light, beam, air)
    _paint_wheels(layer, at, tone, light.level * 0.6 + beam)
    if wide > 8:
        _paint_end(layer, canvas, at, light, tone, light.level * 0.55 + beam)
    layer.stamp(MOVABLE, vehicle.z, view.hidden_below(vehicle.z))


Tone = Callable[[Colour, Floats | float], Floats]  # surface and its light -> what is seen


def _paint_underside(layer: Layer, at: _Placed, tone: Tone, lit: Floats) -> None:
    """The dark floor, and the tyres as seen from ahead or behind."""
    blocks = UNDERSIDES[at.vehicle.kind]
    fills = np.tile(tone(TYRE, lit), (len(blocks), 1))
    fills[:FLOORS] = tone(UNDER, lit)
    layer.faces(at.image(blocks), fills)


def _paint_wheels(layer: Layer, at: _Placed, tone: Tone, lit: Floats) -> None:
    """The wheels on the side that faces the camera: arch, tyre, rim, hub."""
    wheels = WHEELS[at.vehicle.kind]  # (N, 4, 16, 3)
    centres = wheels[:, -1].mean(axis=1)
    if at.vehicle.yaw:
        right, left = at.sees(centres, (1.0, 0.0, 0.0)), at.sees(centres, (-1.0, 0.0, 0.0))
        faces_us = np.where(centres[:, 0] > 0, right, left)
    else:
        faces_us = at.world(centres)[:, 0] * centres[:, 0] * at.vehicle.direction < 0.0
    if faces_us.any():
        rings = wheels[faces_us].reshape(-1, *wheels.shape[2:])
        fills = np.stack([tone(m, lit) for m in (UNDER, TYRE, HUB * 0.7, TYRE)])
        layer.faces(at.image(rings), np.tile(fills, (int(faces_us.sum()), 1)))


def _quads(grid: Floats) -> Floats:
    """The corners ((N - 1) (M - 1), 4, C) of the quadrilaterals between points (N, M, C)."""
    corners = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], 2)
    return corners.reshape(-1, 4, grid.shape[-1])


def _paint_skin(
    layer: Layer, at: _Placed, body: Body, outline: Floats, light: Light, beam: float, air: float
) -> None:
    """The quadrilaterals that face the camera, far ones first.

    outline: the body's points in pixels, (N, 11, 2).
    """
    seen = _quads(at.world(body.points))
    normals = np.cross(seen[:, 3] - seen[:, 1], seen[:, 2] - seen[:, 0])  # outwards
    length = np.sqrt((normals**2).sum(-1, keepdims=True))
    normals = normals / np.maximum(length, 1e-9)
    middle = seen.mean(1)
    eye = np.array([0.0, at.view.camera.eye, 0.0])
    towards = ((eye - middle) * normals).sum(-1)
    order = np.argsort(-((middle - eye) ** 2).sum(-1), kind="stable")
    material = body.material.reshape(-1)
    paint = np.asarray(at.vehicle.paint)
    surfaces = np.stack([paint, GLASS, UNDER * 2.5])[material]
    lit = light.on_faces(normals) + beam * np.clip(-normals[:, 2:3], 0.15, 1.0)
    shine = np.where(material == 1, 0.2, 0.09)[:, None] * np.clip(normals[:, 1:2] + 0.25, 0, 1)
    radiance = surfaces * lit + shine * (light.zenith * 0.5 + light.horizon * 0.8)
    radiance = radiance * air + light.horizon * (1.0 - air)
    pixels = _quads(outline)
    order = order[(towards[order] > 0.0) & (length[order, 0] > 1e-6)]
    layer.faces(pixels[order], radiance[order])
    # The two ends are flat: the whole first and last section.
    end = at.end()
    if end is None:
        return
    lit_end = light.on_faces(np.array([[0.0, 0.1, -1.0]]))[0] + beam
    flat = np.asarray(at.vehicle.paint) * lit_end * air + light.horizon * (1.0 - air)
    layer.polygon(outline[0 if end == 0.0 else -1], flat)


def _paint_end(
    layer: Layer, canvas: Canvas, at: _Placed, light: Light, tone: Tone, lit: Floats
) -> None:
    """Window, lamps, plate and bumper on the end that faces the camera."""
    shape, vehicle, end = at.shape, at.vehicle, at.end()
    if end is None:
        return
    rear = end == 0.0
    s = -0.01 if rear else shape.length + 0.01
    half = shape.width / 2 * 0.86
    tall = shape.height
    big = tall > 2.2

    # Rectangles (left, right, bottom, top) in painting order, and what each is made of.
    parts: list[tuple[tuple[float, float, float, float], Floats]] = [
        ((-half * 1.06, half * 1.06, 0.4, 0.52), tone(np.asarray(vehicle.paint) * 0.72, lit)),
        ((-half * 0.94, half * 0.94, 0.24, 0.36), tone(UNDER * 3, lit)),
    ]
    if rear and shape.cargo > 0.5:  # the doors of a box
        parts.append(((-0.02, 0.02, 0.75, tall * 0.96), tone(UNDER * 6, lit)))
        for x in (-half * 0.5, half * 0.5):
            parts.append(((x - 0.02, x + 0.02, 0.8, tall * 0.9), tone(HUB, lit)))
    if rear and vehicle.kind in ("van", "bus"):
        parts.append(((-half * 0.8, half * 0.8, tall * 0.58, tall * 0.84), tone(GLASS, lit)))
    parts.append(((-0.26, 0.26, 0.5, 0.63), tone(vehicle.plate, lit)))
    low, high = (0.6, 0.8) if big else (0.72, 0.92)
    if not rear:
        low, high = (0.7, 0.95) if big else (0.58, 0.74)
        parts.append(((-half * 0.55, half * 0.55, low - 0.08, high - 0.02), tone(UNDER * 2, lit)))

    air = float(light.clearness(vehicle.z))
    glow = colour("fff4da") * 7.0
    if rear:
        glow = colour("ff2a1c") * (3.0 if vehicle.braking else 1.2)
    on = vehicle.lights_on or (rear and vehicle.braking)
    lens = tone(colour("a01818" if rear else "d8dde2"), lit) + on * glow * 0.5 * air
    for side in (-1.0, 1.0):
        a, b = sorted((side * half, side * half * (0.62 if rear else 0.66)))
        parts.append(((a, b, low, high), lens))
        if on:
            centre = np.array([(a + b) / 2, (low + high) / 2, s])
            u, v = at.image(centre)
            mirrored = float(at.image(centre * (1.0, -1.0, 1.0))[1])
            size = (0.09 if rear else 0.1) * at.view.scale(vehicle.z)
            canvas.lamps.append(Lamp(u, v, vehicle.z, size, glow * air, mirrored))
    corners = [[[a, y0, s], [b, y0, s], [b, y1, s], [a, y1, s]] for (a, b, y0, y1), _ in parts]
    layer.faces(at.image(np.array(corners)), np.stack([fill for _, fill in parts]))
