"""Where everything stands that is not road or vehicle: plants, houses, posts, signs, people.

All is drawn in metres, before the image's size plays a part, so that a scene looks the same at
every size.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dashseg.scenes.buildings import Building, paint_building
from dashseg.scenes.camera import View
from dashseg.scenes.canvas import Canvas, colour
from dashseg.scenes.ground import Pool
from dashseg.scenes.light import Light
from dashseg.scenes.people import paint_person
from dashseg.scenes.road import Road
from dashseg.scenes.roadside import Thing, order, pieces, weave
from dashseg.scenes.signs import paint_gantry, paint_sign, paint_signals
from dashseg.scenes.structures import paint_bridge, paint_lamp_post, paint_power_line
from dashseg.scenes.trees import Tree, paint_tree

TINTS = ["ffffff", "e8f0c8", "d0e0d0", "fff0c0", "c8d8a8"]


class Post(NamedTuple):
    """A lamp post: place, side of the road, height in metres, the steel's colour, its light."""

    x: float
    z: float
    sign: int
    height: float
    steel: str
    warm: bool


class Stage:
    """Collects what is to be painted, each with its place in the order."""

    def __init__(self, road: Road, view: View, light: Light) -> None:
        self.road, self.view, self.light = road, view, light
        self.things: list[Thing] = []

    def add(self, x: float, z: float, paint: Callable[..., None], *details: object) -> None:
        """Have `paint(canvas, view, light, *details)` called when it is the turn of (x, z)."""

        def paint_now(canvas: Canvas) -> None:
            paint(canvas, self.view, self.light, *details)

        self.things.append((order(self.road, x, z), paint_now))

    def outer(self, sign: int) -> float:
        """Where the open ground begins on one side."""
        edges = [b.right if sign > 0 else b.left for b in self.road.bands]
        edges += [s.x for s in self.road.sides if s.sign == sign]
        return max(edges) if sign > 0 else min(edges)


def place_lamps(
    road: Road, light: Light, rng: np.random.Generator
) -> tuple[list[Pool], list[Post]]:
    """Lamp posts, and the pools of light under them when it is dark."""
    chance = {"highway": 0.35, "country": 0.05, "suburb": 0.6, "city": 0.85}[road.place]
    if rng.random() > chance:
        return [], []
    gap, tall = rng.uniform(28.0, 48.0), rng.uniform(7.5, 11.0)
    steel, warm = str(rng.choice(["6a6f74", "8f9499"])), bool(rng.random() < 0.5)
    tone = colour("ffc67a" if warm else "fff0d8")
    left, right = road.paved()
    sides = [(right + 0.8, 1), (left - 0.8, -1)] if rng.random() < 0.5 else [(right + 0.8, 1)]
    pools, posts = [], []
    for x, sign in sides:
        for z in np.arange(rng.uniform(8.0, gap), 190.0, gap):
            posts.append(Post(x, float(z), sign, tall, steel, warm))
            if light.lamps_lit and light.headlights:
                strength = 0.16 if light.dark else 0.05
                pools.append(Pool(x - sign * 2.5, float(z), tone * strength))
    return pools, posts


def place_scenery(
    road: Road, view: View, light: Light, posts: list[Post], rng: np.random.Generator
) -> list[Thing]:
    """Everything that stands along the road, in no particular order."""
    stage = Stage(road, view, light)
    for side in road.sides:
        fabric = weave(side.kind, rng)
        if fabric is not None:
            stage.things += pieces(side, road, fabric, view, light, rng)
    for post in posts:
        stage.add(post.x, post.z, paint_lamp_post, *post)
    _plant(stage, rng)
    if road.place in ("city", "suburb"):
        _build(stage, rng)
        _populate(stage, rng)
    _signpost(stage, rng)
    return stage.things


def _plant(stage: Stage, rng: np.random.Generator) -> None:
    """Woods, rows of trees and bushes; denser in the country."""
    road = stage.road
    styles = ["broadleaf", "conifer", "mixed", "palm", "bare"]
    style = str(rng.choice(styles, p=[0.42, 0.18, 0.24, 0.08, 0.08]))
    density = rng.choice([0.25, 0.6, 1.0], p=[0.25, 0.4, 0.35])
    tint = colour(str(rng.choice(TINTS))) * rng.uniform(0.45, 0.95)

    def add(x: float, z: float, height: float, kind: str) -> None:
        shade = tint * rng.uniform(0.75, 1.15, 3) * rng.uniform(0.75, 1.2)
        variant, stretch = int(rng.integers(0, 12)), rng.uniform(0.75, 1.25)
        stage.add(x, z, paint_tree, Tree(x, z, height, kind, variant, shade, stretch))

    def kind() -> str:
        return str(rng.choice(["broadleaf", "conifer"])) if style == "mixed" else style

    street = road.place in ("city", "suburb")
    crowd = {"highway": 44, "country": 50, "suburb": 12, "city": 0}[road.place]
    for sign in (-1, 1):
        edge = stage.outer(sign)
        nearest = rng.uniform(1.5, 10.0)
        for _ in range(int(crowd * density * rng.uniform(0.5, 1.3))):
            z = 9.0 * (400.0 / 9.0) ** rng.random()
            away = nearest + rng.uniform(0.0, 8.0 + 0.22 * z)
            if street:  # in the front gardens
                away = rng.uniform(0.8, 2.6)
            add(edge + sign * away, z, rng.uniform(4.5, 13.0), kind())
        if not street and rng.random() < 0.6:
            for _ in range(int(22 * density)):
                z = 6.0 * (150.0 / 6.0) ** rng.random()
                away = nearest + rng.uniform(-0.5, 5.0)
                add(edge + sign * away, z, rng.uniform(0.8, 2.6), "bush")
        if street and rng.random() < 0.75:  # a row along the pavement
            gap, at = rng.uniform(8.0, 18.0), edge - sign * rng.uniform(0.3, 0.8)
            row, tall = kind(), rng.uniform(4.5, 9.0)
            for z in np.arange(rng.uniform(6.0, 18.0), 160.0, gap):
                add(at, float(z), tall * rng.uniform(0.85, 1.15), row)
    for side in road.sides:
        if side.kind == "grass" and rng.random() < 0.5:  # on the median
            for _ in range(int(14 * density)):
                z = 10.0 * 25.0 ** rng.random()
                add(side.x - rng.uniform(1.5, 4.5), z, rng.uniform(1.0, 6.0), kind())
    if rng.random() < 0.8:  # scattered far away
        for _ in range(int(30 * density)):
            z = rng.uniform(330.0, 900.0)
            x = rng.uniform(-0.7, 0.7) * z
            if abs(x) > 40.0:
                add(x, z, rng.uniform(7.0, 18.0), kind())


def _build(stage: Stage, rng: np.random.Generator) -> None:
    """Detached houses in a suburb, closed blocks in a city."""
    homely = stage.road.place == "suburb"
    tallest = rng.uniform(8.0, 34.0)
    for sign in (-1, 1):
        edge = stage.outer(sign)
        z = rng.uniform(-12.0, 8.0)
        while z < 330.0:
            long = rng.uniform(9.0, 15.0) if homely else rng.uniform(10.0, 32.0)
            deep = rng.uniform(8.0, 12.0) if homely else rng.uniform(10.0, 22.0)
            high = rng.uniform(3.0, 6.0) if homely else rng.uniform(4.5, tallest)
            back = rng.uniform(3.0, 8.0) if homely else rng.uniform(0.0, 1.5)
            seed = int(rng.integers(0, 2**31))
            if z + long > 6.0 and rng.random() < 0.88:
                x = edge + sign * back
                house = Building(x, sign, z, z + long, deep, high, homely, seed)
                stage.add(x, z + long, paint_building, house)
            z += long + (rng.uniform(3.0, 14.0) if homely else rng.choice([0.0, 0.4, 7.0]))


def _populate(stage: Stage, rng: np.random.Generator) -> None:
    """People on the pavements, some on bicycles along the kerb."""
    pavement = stage.road.bands[0]  # the widest, painted first
    _, right = stage.road.paved()
    for _ in range(int(rng.integers(0, 9 if stage.road.place == "city" else 4))):
        sign = 1 if rng.random() < 0.5 else -1
        z, cycling = 6.0 * 9.0 ** rng.random(), bool(rng.random() < 0.2)
        walk = (pavement.right if sign > 0 else pavement.left) - sign * rng.uniform(0.3, 1.3)
        x = sign * (right - 0.5) if cycling else walk
        stage.add(x, z, paint_person, x, z, cycling, int(rng.integers(0, 2**31)))


def _signpost(stage: Stage, rng: np.random.Generator) -> None:
    """Signs, gantries, bridges, traffic lights and power lines."""
    road = stage.road
    left, right = stage.road.paved()
    street = road.place in ("city", "suburb")
    kinds = ["speed", "warning", "marker", "stop" if street else "board"]
    for _ in range(int(rng.integers(0, 5))):
        z, kind = 9.0 * 14.0 ** rng.random(), str(rng.choice(kinds))
        x = right + (3.2 if kind == "board" else 0.9)
        stage.add(x, z, paint_sign, x, z, kind, int(rng.integers(0, 2**31)))
    seed, z = int(rng.integers(0, 2**31)), rng.uniform(35.0, 160.0)
    over = rng.random()
    if road.place == "highway" and over < 0.3:
        ours = min(b.left for b in road.bands if b.drivable and b.right > 0.0) - 0.5
        stage.add(road.ego_x, z, paint_gantry, ours, right + 1.0, z, seed)
    elif road.place != "city" and over > 0.84:
        stage.add(road.ego_x, z, paint_bridge, left - 1.5, right + 1.5, z, seed)
    if street and (road.crossing or rng.random() < 0.3):
        z = road.crossing + 4.0 if road.crossing else rng.uniform(30.0, 80.0)
        stage.add(right, z, paint_signals, right + 0.8, z, road.ego_x - 1.0, seed)
    if road.place != "highway" and rng.random() < 0.55:
        sign = 1 if rng.random() < 0.5 else -1
        x = (right if sign > 0 else left) + sign * rng.uniform(1.0, 2.5)
        first, gap, tall = rng.uniform(8.0, 35.0), rng.uniform(30.0, 45.0), rng.uniform(8.0, 11.0)
        stage.add(x, first + 2 * gap, paint_power_line, x, first, gap, tall)
