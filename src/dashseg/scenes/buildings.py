"""Buildings and houses along a street: boxes in road coordinates, painted on a canvas."""

from typing import NamedTuple

import numpy as np

from dashseg.scenes.camera import Floats, View
from dashseg.scenes.canvas import UNDRIVABLE, Canvas, Layer, bounds, colour
from dashseg.scenes.light import Light

WALLS = ["a8988a", "8d8378", "b9ada0", "7d6a60", "9a6b58", "c2bdb2", "8a9098", "6f7780"]
HOUSES = ["d8d2c4", "b8c0c4", "c9b79c", "e2e0d8", "9aa79a", "a8827a", "8f9db0"]
ROOFS = ["5a4a44", "4a4a4e", "6e5648", "7a4438"]
SHOPS = ["4a6a8a", "8a3a34", "3d6a4f", "b08a3a", "5a5a62"]


class Building(NamedTuple):
    """x of the wall along the road, its sign outwards, z0..z1, depth outwards and height in m."""

    x: float
    sign: int
    z0: float
    z1: float
    depth: float
    height: float
    house: bool
    seed: int


def paint_building(canvas: Canvas, view: View, light: Light, b: Building) -> None:
    """A box with windows, or a house with a gabled roof."""
    rng = np.random.default_rng(b.seed)
    wall = colour(str(rng.choice(HOUSES if b.house else WALLS))) * rng.uniform(0.6, 1.0)
    near, far = max(b.z0, 2.0), b.z1
    outer = b.x + b.sign * b.depth
    roof_height = b.depth * 0.3 if b.house else 0.0
    ends = np.array([near, far])
    corners = np.concatenate(
        [view.project(x, y, ends) for x in (b.x - b.sign * 0.5, outer)
         for y in (0.0, b.height + roof_height)]
    )  # fmt: skip
    layer = Layer(canvas, bounds(corners, 2.0))
    if layer.empty:
        return
    front_lit = light.on_faces(np.array([[0.0, 0.0, -1.0]]))[0]
    side_lit = light.on_faces(np.array([[-float(b.sign), 0.0, 0.0]]))[0]

    def tone(surface: Floats, lit: Floats, z: float) -> Floats:
        return light.through_air(surface * lit, z)

    y1 = b.height
    front = view.rectangle(b.x, outer, 0.0, y1, near)
    side_z = np.array([near, far, far, near])
    side = view.project(b.x, np.array([0.0, 0.0, y1, y1]), side_z)
    sees_side = (b.x + float(view.centre(near))) * b.sign > 0
    if b.house:
        ridge_x, ridge_y = (b.x + outer) / 2, b.height + roof_height
        tiles = colour(str(rng.choice(ROOFS))) * rng.uniform(0.7, 1.1)
        slope = np.array([b.x - b.sign * 0.4, b.x - b.sign * 0.4, ridge_x, ridge_x])
        roof = view.project(slope, np.array([y1 - 0.15, y1 - 0.15, ridge_y, ridge_y]), side_z)
        tilted = light.on_faces(np.array([[-0.5 * b.sign, 0.85, 0.0]]))[0]
        gable = view.project(np.array([b.x, outer, ridge_x]), np.array([y1, y1, ridge_y]), near)
        layer.polygon(gable, tone(wall * 0.95, front_lit, near))
    layer.polygon(front, tone(wall, front_lit, near))
    if sees_side:
        layer.polygon(side, tone(wall, side_lit, near))
    if b.house:
        layer.polygon(roof, tone(tiles, tilted, near))
    _paint_windows(layer, view, light, b, near, front_lit, side_lit, sees_side, rng)
    layer.stamp(UNDRIVABLE, near, view.hidden_below(near))


def _paint_windows(
    layer: Layer,
    view: View,
    light: Light,
    b: Building,
    near: float,
    front_lit: Floats,
    side_lit: Floats,
    sees_side: bool,
    rng: np.random.Generator,
) -> None:
    """Rows of panes on both faces, some of them lit when it is dark; a shop front below."""
    floor = rng.uniform(2.8, 3.6)
    bay = rng.uniform(2.0, 4.0)
    pane_w, pane_h = bay * rng.uniform(0.4, 0.75), floor * rng.uniform(0.4, 0.6)
    rows = np.arange(0.9 if b.house else floor + 0.4, b.height - pane_h * 0.8, floor)
    glass = colour("2a323a") * 0.8
    across = np.arange(bay * 0.4, b.depth - pane_w * 0.8, bay)
    faces = [(False, across, front_lit)]
    if sees_side:
        along = np.arange(near + bay * 0.4, b.z1 - pane_w * 0.8, bay)
        faces.insert(0, (True, along, side_lit))
    for is_side, starts, lit in faces:
        if len(starts) == 0 or len(rows) == 0:
            continue
        s, y = np.meshgrid(starts, rows)
        s, y = s.ravel(), y.ravel()
        ss = np.stack([s, s + pane_w, s + pane_w, s], 1)
        yy = np.stack([y, y, y + pane_h, y + pane_h], 1)
        quads = view.project(b.x, yy, ss) if is_side else view.project(b.x + b.sign * ss, yy, near)
        mirror = light.horizon * 0.25 + light.zenith * 0.15
        dark = light.through_air(glass * lit + mirror * 0.6, near)
        warm = light.through_air(colour("ffd08a") * 0.35, near)
        on = rng.random(len(quads)) < (0.35 if light.lamps_lit and light.dark else 0.0)
        if (~on).any():
            layer.polygons(quads[~on], dark)
        if on.any():
            layer.polygons(quads[on], warm)
    if not b.house and sees_side and rng.random() < 0.7:
        sign = colour(str(rng.choice(SHOPS)))
        z = np.array([near, b.z1, b.z1, near])
        fascia = view.project(b.x - b.sign * 0.1, np.array([2.7, 2.7, 3.3, 3.3]), z)
        layer.polygon(fascia, light.through_air(sign * side_lit, near))
        inside = colour("ffdca0") * 0.2 if light.lamps_lit and light.dark else glass * side_lit
        starts = np.arange(near + 0.3, b.z1 - 1.0, 3.4)[:, None]
        bays = starts + np.array([0.0, 3.0, 3.0, 0.0])
        shop = view.project(b.x, np.array([0.5, 0.5, 2.5, 2.5]), bays)
        layer.polygons(shop, light.through_air(inside, near))
