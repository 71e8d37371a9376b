"""Who else is on a varied scene's road: crossing and turning vehicles, riders, people on foot."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dashseg.scenes.camera import View
from dashseg.scenes.canvas import MOVABLE, Canvas, Layer, bounds, colour
from dashseg.scenes.light import Light
from dashseg.scenes.people import CLOTHES, SKINS, SMALLEST
from dashseg.scenes.road import Road
from dashseg.scenes.vehicle_shapes import SHAPES
from dashseg.scenes.vehicles import Vehicle, sample_vehicle

_HELMETS = ["1a1a1c", "d8d8d4", "a02828", "c8a030", "3a5a8a", "2b2b2b"]
_FRAMES = ["1d1d20", "8a1f22", "27407a", "d8d8d4", "3a3a3e", "c8b030"]


class Rider(NamedTuple):
    """Someone on the road at (x, z): on a "motorcycle", a "bicycle" or on "foot".

    side: 0 seen from behind or ahead; 1 and -1 across, facing right or left.
    """

    x: float
    z: float
    kind: str
    side: int
    seed: int


def cross_traffic(road: Road, traffic: list[Vehicle], rng: np.random.Generator) -> list[Vehicle]:
    """The traffic with vehicles that cross a junction or turn there, and others parked askew.

    Vehicles in their way are taken out.
    """
    left, right = road.paved()
    added: list[Vehicle] = []
    if road.junction and rng.random() < 0.7:
        near, far = road.junction
        for _ in range(int(rng.integers(1, 4))):
            askew = rng.normal(0, 0.5) if rng.random() < 0.4 else rng.normal(0, 0.06)
            yaw = rng.choice([-1, 1]) * np.pi / 2 + askew
            x = rng.uniform(left - 4.0, right + 4.0)
            added.append(_turned(sample_vehicle(rng, x, 0.0, 1, False, True), yaw, near, far, rng))
    flat = [side.sign for side in road.sides if side.kind in ("open", "street")]
    if road.place != "highway" and flat and rng.random() < 0.25:  # parked across, at the edge
        sign = rng.choice(flat)
        x = (right if sign > 0 else left) + sign * rng.uniform(-1.0, 1.0)
        yaw = rng.uniform(0.5, 1.6) * rng.choice([-1, 1])
        for z in np.arange(rng.uniform(4.0, 25.0), 70.0, rng.uniform(2.9, 4.0)):
            vehicle = sample_vehicle(rng, x, float(z), 1, False, True)
            if SHAPES[vehicle.kind].length < 6.0 and rng.random() < 0.75:
                added.append(vehicle._replace(yaw=float(yaw), braking=False))
    kept = [v for v in traffic if not any(_touch(v, other) for other in added)]
    return kept + [v for i, v in enumerate(added) if not any(_touch(v, o) for o in added[:i])]


def _turned(
    vehicle: Vehicle, yaw: float, near: float, far: float, rng: np.random.Generator
) -> Vehicle:
    """The vehicle across the junction, its middle between the two edges."""
    middle = rng.uniform(near + 1.2, max(far - 1.2, near + 1.3))
    return vehicle._replace(yaw=float(yaw), z=middle - SHAPES[vehicle.kind].length / 2)


def _extent(vehicle: Vehicle) -> tuple[float, float, float, float]:
    """Middle and half size in x and z."""
    shape = SHAPES[vehicle.kind]
    cos, sin = abs(np.cos(vehicle.yaw)), abs(np.sin(vehicle.yaw))
    across = (shape.width * cos + shape.length * sin) / 2
    along = (shape.length * cos + shape.width * sin) / 2
    return vehicle.x, across, vehicle.z + shape.length / 2, along


def _touch(one: Vehicle, other: Vehicle) -> bool:
    (x, w, z, d), (x2, w2, z2, d2) = _extent(one), _extent(other)
    return abs(x - x2) < w + w2 - 0.4 and abs(z - z2) < d + d2


def place_riders(road: Road, traffic: list[Vehicle], rng: np.random.Generator) -> list[Rider]:
    """Riders in the lanes and along the kerb, people on the road and at its edge."""
    if road.place == "highway" and rng.random() < 0.8:
        return []
    left, right = road.paved()
    riders: list[Rider] = []
    # Three streets in ten are crowded.
    most = rng.choice([0, 3, 14], p=[0.3, 0.4, 0.3])
    motor = rng.uniform(0.1, 0.7)  # the country's share of motorcycles
    for _ in range(int(rng.integers(0, most + 1))):
        z = 4.0 * (60.0 / 4.0) ** rng.random()
        foot = rng.random() < (0.5 if road.place in ("city", "suburb") else 0.15)
        kind = "foot" if foot else "motorcycle" if rng.random() < motor else "bicycle"
        edge, sign = (right, 1) if rng.random() < 0.5 else (left, -1)
        x = edge - sign * rng.uniform(-1.5, 1.2) if foot else edge - sign * rng.uniform(0.5, 1.5)
        if rng.random() < (0.25 if foot else 0.5):
            x = rng.uniform(left + 0.6, right - 0.6)
        side = int(rng.choice([0, 1, -1], p=[0.4, 0.3, 0.3] if foot else [0.84, 0.08, 0.08]))
        if any(_near(x, z, vehicle) for vehicle in traffic) or any(
            abs(x - other.x) < 0.9 and abs(z - other.z) < 2.0 for other in riders
        ):
            continue
        riders.append(Rider(float(x), float(z), kind, side, int(rng.integers(0, 2**31))))
    return riders


def _near(x: float, z: float, vehicle: Vehicle) -> bool:
    at, across, middle, along = _extent(vehicle)
    return bool(abs(x - at) < across + 0.5 and abs(z - middle) < along + 0.8)


def paint_rider(canvas: Canvas, view: View, light: Light, rider: Rider) -> None:
    """Strokes in a plane that faces the camera, labelled movable."""
    rng = np.random.default_rng(rider.seed)
    x, z, scale = rider.x, rider.z, view.scale(rider.z)
    if 1.7 * scale < SMALLEST or z < 3.0:
        return
    corners = view.project(np.array([x - 1.2, x + 1.2]), np.array([0.0, 2.1]), z)
    layer = Layer(canvas, bounds(corners, 2.0), scale=4 if scale < 120 else 2)
    if layer.empty:
        return
    shirt, trousers = (str(rng.choice(CLOTHES)) for _ in range(2))
    helmet = rider.kind == "motorcycle" or rng.random() < 0.3
    tones = {
        "shirt": colour(shirt) * rng.uniform(0.7, 1.3),
        "legs": colour(trousers),
        "skin": colour(str(rng.choice(SKINS))),
        "head": colour(str(rng.choice(_HELMETS if helmet else SKINS))),
        "frame": colour(str(rng.choice(_FRAMES))),
        "tyre": colour("161617"),
        "lamp": colour("c01818"),
    }
    mirror = rider.side or (1 if rng.random() < 0.5 else -1)
    sizes = rng.uniform(0.9, 1.08)
    for ax, ay, bx, by, wide, tone in _strokes(rider.kind, rider.side != 0, rng):
        xs, ys = np.array([ax, bx]) * (mirror * sizes), np.array([ay, by]) * sizes
        layer.line(view.project(x + xs, ys, z), light.shade(tones[tone], z, x), wide * scale)
    layer.stamp(MOVABLE, z, view.hidden_below(z))


Stroke = tuple[float, float, float, float, float, str]  # from x, y to x, y; width; of what


def _strokes(kind: str, across: bool, rng: np.random.Generator) -> list[Stroke]:
    """The figure's strokes in metres, far ones first; across: facing right, else away."""
    if kind == "foot":
        return _walker(across, rng)
    lean = rng.uniform(0.0, 0.15)
    if not across:
        broad = 0.3 if kind == "motorcycle" else 0.06
        strokes: list[Stroke] = [(0, 0.06, 0, 0.6, 0.13 if broad > 0.1 else 0.06, "tyre")]
        if kind == "motorcycle":
            strokes += [(0, 0.5, 0, 0.85, broad, "frame"), (-0.05, 0.72, 0.05, 0.72, 0.09, "lamp")]
            strokes += [(-0.2, 0.1, -0.2, 0.45, 0.04, "tyre")]
        strokes += [(-0.32, 1.02, 0.32, 1.02, 0.05, "tyre")]
        for s in (-1, 1):
            strokes += [(s * 0.13, 0.85, s * 0.24, 0.45, 0.15, "legs")]
            strokes += [(s * 0.24, 0.45, s * 0.18, 0.18, 0.12, "legs")]
            strokes += [(s * 0.2, 1.32, s * 0.32, 1.04, 0.11, "shirt")]
        return [*strokes, (0, 0.88, 0, 1.34, 0.4, "shirt"), (0, 1.5, 0, 1.58, 0.25, "head")]
    radius, tyre = (0.3, 0.1) if kind == "motorcycle" else (0.34, 0.045)
    strokes = []
    for hub in (-0.55, 0.55):
        turn = np.linspace(0, 2 * np.pi, 13)
        ring = np.stack([hub + (radius - tyre / 2) * np.cos(turn), radius + np.sin(turn) * radius])
        for (ax, ay), (bx, by) in zip(ring.T[:-1], ring.T[1:], strict=True):
            strokes.append((float(ax), float(ay), float(bx), float(by), tyre, "tyre"))
    body = 0.3 if kind == "motorcycle" else 0.05
    strokes += [(-0.45, 0.55, 0.25, 0.55, body, "frame"), (0.25, 0.55, 0.55, 0.3, 0.06, "frame")]
    strokes += [(0.3, 0.55, 0.42, 1.0, 0.06, "frame"), (-0.5, 0.8, 0.0, 0.78, 0.1, "tyre")]
    strokes += [(-0.15, 0.85, 0.2, 0.62, 0.17, "legs"), (0.2, 0.62, 0.08, 0.2, 0.13, "legs")]
    strokes += [(-0.18, 0.88, lean, 1.35, 0.3, "shirt"), (lean, 1.3, 0.4, 1.04, 0.1, "shirt")]
    return [*strokes, (lean + 0.05, 1.52, lean + 0.05, 1.58, 0.25, "head")]


def _walker(across: bool, rng: np.random.Generator) -> list[Stroke]:
    """Someone on foot, some with a coat or a skirt, some with a bag."""
    step = rng.uniform(0.02, 0.36) if across else rng.uniform(0.02, 0.14)
    wide = 0.27 if across else 0.4
    strokes: list[Stroke] = [
        (-0.04, 0.85, -step, 0.05, 0.15, "legs"),
        (0.04, 0.85, step, 0.05, 0.15, "legs"),
        (-wide / 2, 1.38, -wide / 2 - 0.06, 0.85, 0.1, "shirt"),
        (wide / 2, 1.38, wide / 2 + 0.06, 0.85, 0.1, "shirt"),
        (0, 0.85, 0, 1.4, wide, "shirt"),
    ]
    if rng.random() < 0.35:  # a coat
        strokes.append((0, 0.5, 0, 0.9, wide * 1.05, "shirt"))
    if rng.random() < 0.3:  # a bag
        strokes.append((-wide * 0.7, 0.65, -wide * 0.7, 0.9, 0.2, "frame"))
    return [*strokes, (0, 1.4, 0, 1.5, 0.1, "skin"), (0, 1.58, 0, 1.63, 0.2, "head")]
