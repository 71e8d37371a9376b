"""Traffic signs, gantries and traffic lights, painted at a place in road coordinates."""

from collections.abc import Callable

import numpy as np

from dashseg.scenes.camera import Floats, View
from dashseg.scenes.canvas import UNDRIVABLE, Canvas, Lamp, Layer, bounds, colour
from dashseg.scenes.light import Light
from dashseg.scenes.structures import stick


def paint_sign(
    canvas: Canvas, view: View, light: Light, x: float, z: float, kind: str, seed: int
) -> None:
    """A traffic sign on its post. Signs are bright in headlights: they send them back."""
    rng = np.random.default_rng(seed)
    size, low = {"board": (3.2, 2.2), "speed": (0.75, 2.0), "warning": (0.9, 2.0),
                 "stop": (0.75, 2.0), "marker": (0.3, 0.9)}[kind]  # fmt: skip
    tones = {"board": "1f6b45", "speed": "e6e6e2", "warning": "e8b020", "stop": "b01f24",
             "marker": "e8a020"}  # fmt: skip
    back = float(light.beam(x + float(view.centre(z)), z)) * 2.5
    lit = light.on_faces(np.array([[0.0, 0.0, -1.0]]))[0] + back

    def tone(surface: Floats) -> Floats:
        return light.through_air(surface * lit, z)

    tall = size * (0.65 if kind == "board" else 1.2 if kind == "speed" else 1.0)
    outline = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (size / 2, tall / 2)
    if kind == "warning":
        outline = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]]) * size * 0.62
    if kind == "stop":
        turn = np.arange(8) * np.pi / 4 + np.pi / 8
        outline = np.stack([np.cos(turn), np.sin(turn)], -1) * size / 2
    middle = low + tall / 2
    points = view.project(x + outline[:, 0], middle + outline[:, 1], z)
    foot = np.array([[x, 0.0, z], [x, low, z]])
    layer = Layer(canvas, bounds(np.concatenate([points, view.project(*foot.T)]), 3.0))
    if layer.empty:
        return
    posts = (-0.35 * size, 0.35 * size) if kind == "board" else (0.0,)
    for shift in posts:
        stick(layer, view, foot[0] + (shift, 0, 0), foot[1] + (shift, 0, 0), 0.1,
               light.shade(colour("80858a"), z, x))  # fmt: skip
    rim = "f0f0ec" if kind in ("board", "stop") else "202020"
    layer.polygon(points, tone(colour(rim)))
    inner = view.project(x + outline[:, 0] * 0.93, middle + outline[:, 1] * 0.93, z)
    layer.polygon(inner, tone(colour(tones[kind])))
    if view.scale(z) * size > 8:
        _paint_lettering(layer, view, x, middle, z, size, tall, kind, tone, rng)
    layer.stamp(UNDRIVABLE, z, view.hidden_below(z))


def _paint_lettering(
    layer: Layer,
    view: View,
    x: float,
    middle: float,
    z: float,
    size: float,
    tall: float,
    kind: str,
    tone: Callable[[Floats], Floats],
    rng: np.random.Generator,
) -> None:
    """Words too far away to read."""
    ink = colour("f0f0ec") if kind in ("board", "stop") else colour("181818")
    rows = {"board": 3, "speed": 3, "warning": 1, "stop": 1, "marker": 0}[kind]
    for row in range(rows):
        y = middle + tall * (0.28 - 0.28 * row if rows > 1 else 0.0)
        high = tall * (0.12 if rows > 1 else 0.2) * (2.0 if kind == "speed" and row == 2 else 1.0)
        start = -0.4 * size if kind == "board" else -0.26 * size
        while start < (0.3 if kind == "board" else 0.16) * size:
            wide = size * rng.uniform(0.06, 0.14)
            word = view.rectangle(x + start, x + (start + wide), y - high / 2, y + high / 2, z)
            layer.polygon(word, tone(ink))
            start += wide * 1.35


def paint_gantry(
    canvas: Canvas, view: View, light: Light, left: float, right: float, z: float, seed: int
) -> None:
    """A beam over the road with green boards."""
    rng = np.random.default_rng(seed)
    steel = light.shade(colour("7f8488"), z, 0.0)
    tall = 6.8
    ends = np.array([[left, 0, z], [left, tall, z], [right, tall, z], [right, 0, z]], dtype=float)
    layer = Layer(canvas, bounds(view.project(*ends.T), 0.5 + 2.5 * view.scale(z)))
    if layer.empty:
        return
    stick(layer, view, ends[0], ends[1], 0.45, steel)
    stick(layer, view, ends[3], ends[2], 0.45, steel)
    for y in (tall - 0.5, tall + 0.4):
        stick(layer, view, np.array([left, y, z]), np.array([right, y, z]), 0.2, steel)
    for at in np.arange(left, right, 1.5):
        bar = np.array([[at, tall - 0.5, z], [at + 0.75, tall + 0.4, z], [at + 1.5, tall - 0.5, z]])
        stick(layer, view, bar[0], bar[1], 0.08, steel)
        stick(layer, view, bar[1], bar[2], 0.08, steel)
    back = float(light.beam(0.0, z)) * 2.0 + (0.15 if light.dark else 0.0)
    lit = light.on_faces(np.array([[0.0, 0.0, -1.0]]))[0] + back

    def tone(surface: Floats) -> Floats:
        return light.through_air(surface * lit, z)

    at = left + rng.uniform(0.5, 3.0)
    while at < right - 3.0:
        wide, high = rng.uniform(2.6, 4.5), rng.uniform(2.0, 2.8)
        if at + wide > right:
            break
        for grow, surface in ((0.0, "eef0ec"), (0.08, "1c6a44")):
            y0, y1 = tall - high / 2 + grow, tall + high / 2 - grow
            board = view.rectangle(at + grow, at + wide - grow, y0, y1, z)
            layer.polygon(board, tone(colour(surface)))
        if view.scale(z) * wide > 12:
            _paint_lettering(
                layer, view, at + wide / 2, tall, z, wide * 0.9, high, "board", tone, rng
            )
        at += wide + rng.uniform(0.4, 4.0)
    layer.stamp(UNDRIVABLE, z, view.hidden_below(z))


def paint_signals(
    canvas: Canvas, view: View, light: Light, x: float, z: float, over: float, seed: int
) -> None:
    """A pole with an arm and traffic lights, one lens of each lit."""
    rng = np.random.default_rng(seed)
    steel = light.shade(colour("6a6d70"), z, x)
    tall = 6.0
    foot, top, tip = np.array([[x, 0, z], [x, tall, z], [over, tall + 0.3, z]], dtype=float)
    layer = Layer(canvas, bounds(view.project(*np.stack([foot, top, tip]).T), 2.0 * view.scale(z)))
    if layer.empty:
        return
    stick(layer, view, foot, top, 0.22, steel)
    stick(layer, view, top, tip, 0.16, steel)
    lit = int(rng.integers(0, 3))
    for share in (0.55, 0.95):
        at = top + (tip - top) * share
        box = view.rectangle(at[0] - 0.22, at[0] + 0.22, at[1] - 1.0, at[1] + 0.2, z - 0.1)
        layer.polygon(box, light.shade(colour("1c1d1a"), z))
        y = at[1] - 0.02 - 0.36 * lit
        tone = colour(("ff3020", "ffb020", "30ff90")[lit])
        u, v = view.project(at[0], y, z - 0.1)
        mirrored = view.project(at[0], -y, z)[1]
        canvas.lamps.append(Lamp(u, v, z, 0.13 * view.scale(z), tone * 1.6, mirrored))
    layer.stamp(UNDRIVABLE, z, view.hidden_below(z))
