"""Lamp posts, power lines and bridges, painted on a canvas at a place in road coordinates."""

import numpy as np

from dashseg.scenes.camera import Floats, View
from dashseg.scenes.canvas import UNDRIVABLE, Canvas, Lamp, Layer, bounds, colour
from dashseg.scenes.light import Light


def stick(layer: Layer, view: View, a: Floats, b: Floats, wide: float, tone: Floats) -> None:
    """A round bar between two points in road coordinates, `wide` metres thick."""
    ends = view.project(*np.stack([a, b]).T)
    along = ends[1] - ends[0]
    length = float(np.sqrt((along**2).sum()))
    if length < 1e-6:
        return
    across = np.array([-along[1], along[0]]) / length
    half = np.maximum(0.35, wide * np.array([view.scale(a[2]), view.scale(b[2])])) / 2
    layer.polygon(
        np.stack(
            [ends[0] + across * half[0], ends[1] + across * half[1],
             ends[1] - across * half[1], ends[0] - across * half[0]]
        ),
        tone,
    )  # fmt: skip


def paint_lamp_post(
    canvas: Canvas,
    view: View,
    light: Light,
    x: float,
    z: float,
    sign: int,
    tall: float,
    metal: str,
    warm: bool,
) -> None:
    """A post with an arm over the road; lit, it throws the pool that the ground already has."""
    steel = light.shade(colour(metal), z, x)
    foot, top = np.array([x, 0.0, z]), np.array([x, tall, z])
    tip = np.array([x - sign * 2.4, tall + 0.5, z])
    layer = Layer(canvas, bounds(view.project(*np.stack([foot, top, tip]).T), 4.0))
    if layer.empty:
        return
    stick(layer, view, foot, top, 0.2, steel)
    stick(layer, view, top, tip, 0.12, steel)
    head = tip + np.array([-sign * 0.7, -0.05, 0.0])
    stick(layer, view, tip, head, 0.24, steel)
    layer.stamp(UNDRIVABLE, z, view.hidden_below(z))
    if light.lamps_lit:
        tone = colour("ffc67a" if warm else "fff0d8")
        u, v = view.project(*((tip + head) / 2 - (0.0, 0.15, 0.0)))
        mirrored = view.project(head[0], -tall, z)[1]
        clear = float(light.clearness(z))
        canvas.lamps.append(Lamp(u, v, z, 0.24 * view.scale(z), tone * 6.0 * clear, mirrored))


def paint_power_line(
    canvas: Canvas, view: View, light: Light, x: float, first: float, gap: float, tall: float
) -> None:
    """Wooden poles with a crossarm, and sagging wires between them."""
    wood = colour("4f4238")
    stops = [first + i * gap for i in range(6)]
    for n in range(len(stops) - 1, -1, -1):
        z = stops[n]
        tone = light.shade(wood, z, x)
        foot, top = np.array([x, 0.0, z]), np.array([x, tall, z])
        arm = np.array([[x - 1.1, tall - 0.6, z], [x + 1.1, tall - 0.6, z]])
        layer = Layer(canvas, bounds(view.project(*np.concatenate([[foot, top], arm]).T), 3.0))
        if not layer.empty:
            stick(layer, view, foot, top, 0.28, tone)
            stick(layer, view, arm[0], arm[1], 0.14, tone)
            layer.stamp(UNDRIVABLE, z, view.hidden_below(z))
        before = stops[n - 1] if n else max(2.0, first - gap)
        t = np.linspace(0.0, 1.0, 16)
        sag = tall - 0.6 - 4 * 0.9 * t * (1 - t)
        for shift in (-1.05, 0.0, 1.05):
            wire = view.project(x + shift, sag, z + (before - z) * t)
            strand = Layer(canvas, bounds(wire, 2.0), scale=3)
            if not strand.empty:
                strand.line(wire, tone * 0.6, 0.34)
                strand.stamp(UNDRIVABLE, z)


def paint_bridge(
    canvas: Canvas, view: View, light: Light, left: float, right: float, z: float, seed: int
) -> None:
    """A road that crosses over ours: deck, railing, piers."""
    rng = np.random.default_rng(seed)
    concrete = colour("98948a") * rng.uniform(0.6, 1.0)
    low, thick, wide = rng.uniform(5.2, 6.5), rng.uniform(1.3, 2.2), rng.uniform(9.0, 16.0)
    lit = light.on_faces(np.array([[0.0, 0.0, -1.0]]))[0]
    far_left, far_right = left - 90.0, right + 90.0
    xs = np.array([far_left, far_right, far_right, far_left])
    face = view.rectangle(far_left, far_right, low, low + thick, z)
    under = view.project(xs, low, np.array([z, z, z + wide, z + wide]))
    rail = view.rectangle(far_left, far_right, low + thick, low + thick + 1.0, z)
    feet = view.project(np.array([left, right]), 0.0, z)
    layer = Layer(canvas, bounds(np.concatenate([face, under, rail, feet]), 2.0))
    if layer.empty:
        return
    for x in (left - 1.2, right + 0.2):
        for deep in (wide * 0.8, wide * 0.2):
            pier = view.rectangle(x, x + 1.0, 0.0, low, z + deep)
            layer.polygon(pier, light.through_air(concrete * lit * 0.6, z))
    layer.polygon(under, light.through_air(concrete * lit * 0.25, z))
    layer.polygon(rail, light.through_air(concrete * lit * 0.75, z))
    layer.polygon(face, light.through_air(concrete * lit, z))
    lip = view.rectangle(far_left, far_right, low, low + 0.25, z)
    layer.polygon(lip, light.through_air(concrete * lit * 0.75, z))
    layer.stamp(UNDRIVABLE, z)
