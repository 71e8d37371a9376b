"""The shapes of vehicles, in metres: from an outline seen from the side to a lofted skin.

A body is a row of cross-sections from tail to nose. Each is eleven points around the outline, so
that the skin between two sections is a strip of quadrilaterals whose normals give the shading.
In a vehicle's own coordinates x is right, y up, s forward from the tail.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dashseg.scenes.camera import Floats


class Shape(NamedTuple):
    """A kind of vehicle. roof: (s / length, y / height) of the outline seen from the side.

    belt: height share where the windows begin (1 for none); glass: s shares of the side windows.
    tumble: width of the roof relative to the body. cargo: s share up to which it is a plain box.
    """

    length: float
    width: float
    height: float
    roof: tuple[tuple[float, float], ...]
    belt: float
    glass: tuple[tuple[float, float], ...]
    tumble: float
    wheel: float
    axles: tuple[float, ...]
    cargo: float = 0.0


SHAPES: dict[str, Shape] = {
    "sedan": Shape(
        4.7, 1.82, 1.45,
        ((0, 0.62), (0.03, 0.7), (0.16, 0.72), (0.3, 0.97), (0.42, 1), (0.56, 0.97),
         (0.72, 0.68), (0.95, 0.56), (1, 0.45)),
        0.66, ((0.24, 0.42), (0.44, 0.66)), 0.74, 0.33, (0.19, 0.8),
    ),
    "hatchback": Shape(
        4.1, 1.76, 1.5,
        ((0, 0.6), (0.02, 0.7), (0.1, 0.94), (0.25, 1), (0.5, 0.98), (0.7, 0.68), (0.95, 0.56),
         (1, 0.45)),
        0.64, ((0.12, 0.36), (0.38, 0.66)), 0.76, 0.32, (0.17, 0.82),
    ),
    "suv": Shape(
        4.7, 1.92, 1.75,
        ((0, 0.6), (0.015, 0.72), (0.06, 0.95), (0.15, 1), (0.5, 0.99), (0.7, 0.68), (0.95, 0.6),
         (1, 0.45)),
        0.64, ((0.07, 0.22), (0.24, 0.43), (0.45, 0.66)), 0.8, 0.37, (0.18, 0.81),
    ),
    "pickup": Shape(
        5.6, 2.0, 1.85,
        ((0, 0.6), (0.01, 0.64), (0.39, 0.64), (0.43, 0.96), (0.5, 1), (0.62, 0.98), (0.73, 0.68),
         (0.96, 0.62), (1, 0.5)),
        0.62, ((0.43, 0.54), (0.56, 0.7)), 0.82, 0.4, (0.2, 0.82),
    ),
    "van": Shape(
        5.4, 2.0, 2.3,
        ((0, 0.93), (0.02, 0.98), (0.5, 1), (0.78, 0.97), (0.9, 0.6), (1, 0.45)),
        0.55, ((0.68, 0.86),), 0.9, 0.36, (0.18, 0.82), 0.66,
    ),
    "bus": Shape(
        11.0, 2.55, 3.2,
        ((0, 0.97), (0.01, 1), (0.98, 1), (0.995, 0.9), (1, 0.4)),
        0.42, ((0.03, 0.2), (0.22, 0.4), (0.42, 0.6), (0.62, 0.8), (0.82, 0.97)), 0.97, 0.5,
        (0.25, 0.8),
    ),
    "truck": Shape(
        9.0, 2.5, 3.6,
        ((0, 1), (0.74, 1), (0.75, 0.76), (0.93, 0.74), (0.97, 0.5), (1, 0.42)),
        0.5, ((0.82, 0.93),), 0.97, 0.5, (0.15, 0.27, 0.86), 0.745,
    ),
    "trailer": Shape(
        16.0, 2.55, 4.0,
        ((0, 1), (0.85, 1), (0.855, 0.9), (0.97, 0.85), (0.985, 0.5), (1, 0.45)),
        0.6, ((0.9, 0.96),), 0.98, 0.52, (0.06, 0.14, 0.75, 0.94), 0.85,
    ),
    "rickshaw": Shape(
        2.7, 1.3, 1.75,
        ((0, 0.5), (0.02, 0.85), (0.1, 0.98), (0.3, 1), (0.62, 0.98), (0.8, 0.62), (1, 0.4)),
        0.52, ((0.12, 0.34), (0.38, 0.62)), 0.9, 0.22, (0.2, 0.88),
    ),
}  # fmt: skip
MIX = {
    "sedan": 0.33, "suv": 0.24, "hatchback": 0.12, "pickup": 0.11, "van": 0.07, "truck": 0.05,
    "trailer": 0.06, "bus": 0.02,
}  # fmt: skip
MIX_ABROAD = {
    "sedan": 0.22, "suv": 0.16, "hatchback": 0.26, "pickup": 0.04, "van": 0.11, "truck": 0.07,
    "trailer": 0.03, "bus": 0.05, "rickshaw": 0.06,
}  # fmt: skip


class Body(NamedTuple):
    """Sections (N, 11, 3) as (x, y, s) and what each of the N - 1 x 10 quadrilaterals is made of.

    material: 0 paint, 1 glass, 2 dark trim.
    """

    points: Floats
    material: NDArray[np.int_]


def _loft(shape: Shape, detailed: bool) -> Body:
    """Loft the outline into a skin."""
    knots = np.array(shape.roof)
    edges = [s for pair in shape.glass for s in pair]
    even = np.linspace(0.0, 1.0, 15 if detailed else 5)
    stations = np.unique(np.round(np.concatenate([knots[:, 0], edges, even]), 4))
    top = np.interp(stations, knots[:, 0], knots[:, 1]) * shape.height
    half = shape.width / 2
    boxy = stations <= shape.cargo
    ends = np.minimum(stations, 1.0 - stations) * shape.length
    round_off = np.where(boxy, 1.0, 1.0 - 0.14 * np.clip(1.0 - ends / 0.55, 0.0, 1.0) ** 2)
    w = half * round_off  # half-width at the belt
    low = 0.2 if shape.height < 2.0 else 0.35
    belt = np.minimum(shape.belt * shape.height, top)
    above = (top - belt) / max(shape.height * (1.0 - shape.belt), 1e-6)
    taper = np.where(boxy, 0.985, 1.0 - (1.0 - shape.tumble) * np.clip(above, 0.0, 1.0))
    upper = w * taper
    crown = np.where(boxy, 0.02, 0.07)
    sill = np.full_like(w, low)
    rows = [  # half-width and height, from the sill up to the roof's edge
        (0.9 * w, sill),
        (w, sill + 0.35 * (belt - sill)),
        (w * np.where(boxy, 1.0, 0.985), belt - 0.03),
        (upper, np.maximum(belt, top - crown)),
        (upper * np.where(boxy, 0.98, 0.86), top),
    ]
    right = [np.stack([x, y, stations * shape.length], -1) for x, y in rows]
    middle = np.stack(
        [np.zeros_like(w), top + np.where(boxy, 0.0, 0.02), stations * shape.length], -1
    )
    left = [p * (-1.0, 1.0, 1.0) for p in reversed(right)]
    points = np.stack([*right, middle, *left], axis=1)  # (N, 11, 3)

    # Glass: side windows in the ring above the belt, screens where the roof's line is steep.
    material = np.zeros((len(stations) - 1, 10), int)
    centre = (stations[1:] + stations[:-1]) / 2
    roomy = np.minimum(above[1:], above[:-1]) > 0.02
    in_glass = np.zeros(len(centre), bool)
    for a, b in shape.glass:
        in_glass |= (centre > a) & (centre < b)
    material[in_glass & (np.maximum(above[1:], above[:-1]) > 0.1), 2] = 1
    steep = np.abs(np.diff(top)) / (np.diff(stations) * shape.length) > 0.28
    screen = steep & (roomy | (np.maximum(above[1:], above[:-1]) > 0.3)) & (centre > shape.cargo)
    material[screen, 4] = 1
    material[screen, 3] = 1
    material[:, 0] = np.where(shape.height < 2.0, 0, 2)
    for ring in range(5):  # the left side mirrors the right
        material[:, 9 - ring] = material[:, ring]
    return Body(points, material)


FLOORS = 2  # of an underside's rectangles, the first are floor, the rest tyres


def _underside(shape: Shape) -> Floats:
    """Upright rectangles (FLOORS + 6 per axle, 4, 3): the floor's far and near end, the tyres."""
    r, half = shape.wheel, shape.width / 2
    ends = (shape.length - 0.25, 0.25)
    spans = [(-0.9 * half, 0.9 * half, 0.22, 0.7, s) for s in ends]
    for share in shape.axles:
        for side in (-1.0, 1.0):
            outer, inner = side * half * 0.96, side * (half * 0.96 - 0.24)
            for ahead in (-0.6, 0.0, 0.6):  # a round tyre as three slices
                low = 0.06 * r * (ahead != 0.0)
                spans.append((outer, inner, low, low + r, share * shape.length + ahead * r))
    return np.array([[[a, y0, s], [b, y0, s], [b, y1, s], [a, y1, s]] for a, b, y0, y1, s in spans])


def _wheels(shape: Shape) -> Floats:
    """Rings (wheels, 4, 16, 3) on both sides: arch, tyre, rim, hub."""
    turn = np.linspace(0, 2 * np.pi, 17)[:-1]
    circle = np.stack([np.zeros_like(turn), np.sin(turn), np.cos(turn)], -1)
    r, wheels = shape.wheel, []
    for share in shape.axles:
        for side in (-1.0, 1.0):
            centre = np.array([side * shape.width / 2 * 0.985, r, share * shape.length])
            rings = np.stack([circle * r * size + centre for size in (1.16, 1.0, 0.62, 0.2)])
            rings[0, :, 1] = np.maximum(rings[0, :, 1], 0.2)  # the arch ends at the sill
            wheels.append(rings)
    return np.stack(wheels)


BODIES = {(kind, fine): _loft(s, fine) for kind, s in SHAPES.items() for fine in (True, False)}
UNDERSIDES = {kind: _underside(shape) for kind, shape in SHAPES.items()}
WHEELS = {kind: _wheels(shape) for kind, shape in SHAPES.items()}
