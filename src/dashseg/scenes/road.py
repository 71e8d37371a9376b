"""The plan of a road: its lanes, painted lines, surfaces and what stands along its sides.

All positions are metres to the right of the road's reference line; nothing here is an image yet.
Widths follow US practice, where most of comma10k was filmed: lanes 3.0-3.7 m, lines 12-20 cm,
dashes of 3 m every 12 m.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

PLACES = {"highway": 0.46, "country": 0.2, "suburb": 0.16, "city": 0.18}
DASH, PERIOD = 3.05, 12.2  # m; 10 feet of paint in every 40


class Lane(NamedTuple):
    """Centre, width, direction (1 ours, -1 oncoming) and whether cars stand there parked."""

    x: float
    width: float
    direction: int
    parking: bool = False


class Line(NamedTuple):
    """A painted line around x: solid if dash is 0, else `dash` metres of every PERIOD."""

    x: float
    width: float
    yellow: bool
    dash: float = 0.0
    phase: float = 0.0


class Mark(NamedTuple):
    """Paint from left to right and from near to far, in metres; each metre of depth moves it by
    `slope` metres to the right."""

    left: float
    right: float
    near: float
    far: float
    slope: float
    yellow: bool


class Shade(NamedTuple):
    """A shadow, shaped as a Mark; it takes the share `depth` of the direct light."""

    left: float
    right: float
    near: float
    far: float
    slope: float
    depth: float


class Band(NamedTuple):
    """Ground of one material from left to right; drivable ground is road, other undrivable."""

    left: float
    right: float
    material: str
    drivable: bool


class Side(NamedTuple):
    """What stands along the road from x outwards; sign is -1 on the left, 1 on the right."""

    kind: str
    x: float
    sign: int


@dataclass(frozen=True)
class Road:
    place: str
    ego_x: float
    lanes: tuple[Lane, ...]
    lines: tuple[Line, ...]
    bands: tuple[Band, ...]
    sides: tuple[Side, ...]
    verge: str  # material of the open ground
    wear: float  # of the paint, 0..1
    cracks: float
    joints: float  # m between the slabs' transverse joints; 0 for none
    crossing: float  # distance of a pedestrian crossing; 0 for none
    marks: tuple[Mark, ...] = ()
    shades: tuple[Shade, ...] = ()
    junction: tuple[float, float] | None = None  # a side road's near and far edge
    missing: float = 0.0  # 0..1, how much of the paint has gone altogether
    grain: float = 1.0  # factor on how much the grounds' brightness varies

    def paved(self) -> tuple[float, float]:
        """Left and right edge of all drivable ground."""
        bands = [b for b in self.bands if b.drivable]
        return min(b.left for b in bands), max(b.right for b in bands)


def sample_road(rng: np.random.Generator) -> Road:
    """Draw a road."""
    place = str(rng.choice(list(PLACES), p=list(PLACES.values())))
    if place == "highway":
        return _highway(rng)
    if place == "country":
        return _country(rng)
    return _street(rng, place)


def _surface(rng: np.random.Generator) -> str:
    return str(rng.choice(["asphalt", "old asphalt", "fresh asphalt", "concrete"]))


def _verge(rng: np.random.Generator) -> str:
    return str(rng.choice(["grass", "dry grass", "dirt"], p=[0.5, 0.35, 0.15]))


def _highway(rng: np.random.Generator) -> Road:
    """Two to five lanes our way, a median, and the same again beyond it."""
    count, width = int(rng.integers(2, 6)), rng.uniform(3.4, 3.75)
    line = rng.uniform(0.13, 0.2)
    surface = _surface(rng)
    inner, outer = rng.uniform(0.7, 3.0), rng.uniform(1.4, 3.2)  # paved shoulders
    right = count * width
    phase = rng.uniform(0, PERIOD)
    lines = [Line(0.0, line, True)]
    lines += [Line(i * width, line, False, DASH, phase) for i in range(1, count)]
    lines.append(Line(right, line, False))
    if rng.random() < 0.12:  # a carpool lane set off by a double line
        lines[1] = Line(width - 0.25, line, True)
        lines.insert(2, Line(width + 0.25, line, bool(rng.random() < 0.5)))
    shoulder = surface if rng.random() < 0.5 else _surface(rng)
    bands = [
        Band(-inner, 0.05, shoulder, True),
        Band(right, right + outer, shoulder, True),
        Band(0.0, right + 0.1, surface, True),
    ]
    lanes = [Lane((i + 0.5) * width, width, 1) for i in range(count)]

    median = str(rng.choice(["barrier", "grass", "guard rail"], p=[0.55, 0.3, 0.15]))
    gap = {"barrier": 0.7, "grass": rng.uniform(6.0, 16.0), "guard rail": 2.5}[median]
    near = -inner - gap - inner  # the other carriageway's own yellow line
    far = near - count * width
    bands += [
        Band(far - outer, near + inner, shoulder, True),
        Band(far, near, surface, True),
    ]
    lines += [Line(near, line, True), Line(far, line, False)]
    lines += [Line(near - i * width, line, False, DASH, phase + 5) for i in range(1, count)]
    lanes += [Lane(near - (i + 0.5) * width, width, -1) for i in range(count)]
    edge = right + outer
    kinds = ["open", "guard rail", "barrier", "wall", "bank"]
    sides = [
        Side(median, -inner, -1),
        Side(str(rng.choice(["open", "guard rail", "bank"])), far - outer, -1),
        Side(str(rng.choice(kinds, p=[0.3, 0.22, 0.15, 0.18, 0.15])), edge, 1),
    ]
    return Road(
        place="highway",
        ego_x=(int(rng.integers(0, count)) + 0.5) * width + rng.uniform(-0.3, 0.3),
        lanes=tuple(lanes),
        lines=tuple(lines),
        bands=tuple(bands),
        sides=tuple(sides),
        verge=_verge(rng),
        wear=rng.uniform(0.0, 0.45),
        cracks=rng.uniform(0.0, 0.7),
        joints=4.6 if surface == "concrete" else 0.0,
        crossing=0.0,
    )


def _country(rng: np.random.Generator) -> Road:
    """One lane each way, a yellow centre line, narrow shoulders."""
    width, line = rng.uniform(3.0, 3.6), rng.uniform(0.12, 0.18)
    phase = rng.uniform(0, PERIOD)
    shoulder = rng.uniform(0.2, 1.4)
    edges = rng.random() < 0.8
    unmarked = rng.random() < 0.08
    style = str(rng.choice(["double", "dashed", "mixed"], p=[0.55, 0.25, 0.2]))
    lines = []
    if not unmarked:
        if style == "dashed":
            lines.append(Line(0.0, line, True, DASH, phase))
        else:
            dash = DASH if style == "mixed" else 0.0
            lines += [Line(-0.16, line, True), Line(0.16, line, True, dash, phase)]
        if edges:
            lines += [Line(-width, line, False), Line(width, line, False)]
    surface = _surface(rng)
    edge = width + shoulder
    bands = [Band(-edge, edge, surface, True)]
    verge = _verge(rng)
    if rng.random() < 0.6:  # a strip of loose gravel
        strip = rng.uniform(0.5, 1.5)
        bands = [Band(-edge - strip, edge + strip, "gravel", False), *bands]
    kinds = ["open", "guard rail", "bank", "fence"]
    sides = [
        Side(str(rng.choice(kinds, p=[0.5, 0.15, 0.2, 0.15])), sign * (edge + 0.6), sign)
        for sign in (-1, 1)
    ]
    return Road(
        place="country",
        ego_x=width / 2 + rng.uniform(-0.25, 0.25),
        lanes=(Lane(width / 2, width, 1), Lane(-width / 2, width, -1)),
        lines=tuple(lines),
        bands=tuple(bands),
        sides=tuple(sides),
        verge=verge,
        wear=rng.uniform(0.0, 0.6),
        cracks=rng.uniform(0.1, 1.0),
        joints=0.0,
        crossing=0.0,
    )


def _street(rng: np.random.Generator, place: str) -> Road:
    """One or two lanes each way between kerbs, often with parked cars."""
    count = int(rng.integers(1, 3 if place == "suburb" else 4))
    width, line = rng.uniform(3.0, 3.5), rng.uniform(0.12, 0.18)
    parking = 2.3 if rng.random() < (0.5 if place == "suburb" else 0.65) else 0.0
    phase = rng.uniform(0, PERIOD)
    half = count * width
    unmarked = place == "suburb" and count == 1 and rng.random() < 0.35
    lines = []
    if not unmarked:
        lines += [Line(-0.16, line, True), Line(0.16, line, True)]
        for i in range(1, count):
            lines += [Line(s * i * width, line, False, DASH, phase) for s in (-1, 1)]
        if parking or rng.random() < 0.4:
            lines += [Line(s * half, line, False) for s in (-1, 1)]
    edge = half + max(parking, rng.uniform(0.3, 1.2))
    pavement = rng.uniform(1.6, 3.5)
    strip = rng.uniform(0.8, 2.0) if place == "suburb" or rng.random() < 0.3 else 0.0
    bands = [
        Band(-edge - 0.18 - strip - pavement, edge + 0.18 + strip + pavement, "pavement", False),
        Band(-edge - 0.18 - strip, edge + 0.18 + strip, "grass", False),
        Band(-edge - 0.18, edge + 0.18, "kerb", False),
        Band(-edge, edge, _surface(rng), True),
    ]
    lanes = [Lane(s * (i + 0.5) * width, width, s) for i in range(count) for s in (1, -1)]
    if parking:
        lanes += [Lane(s * (half + 1.15), 2.3, s, True) for s in (1, -1)]
    mine = (int(rng.integers(0, count)) + 0.5) * width
    margin = edge + 0.18 + strip + pavement
    return Road(
        place=place,
        ego_x=mine + rng.uniform(-0.2, 0.2),
        lanes=tuple(lanes),
        lines=tuple(lines),
        bands=tuple(bands),
        sides=tuple(Side("street", s * margin, s) for s in (-1, 1)),
        verge="grass" if place == "suburb" else "pavement",
        wear=rng.uniform(0.0, 0.6),
        cracks=rng.uniform(0.1, 1.0),
        joints=0.0,
        crossing=rng.uniform(14.0, 45.0) if rng.random() < 0.22 else 0.0,
    )
