"""What runs along a road: barriers, walls, guard rails, fences and banks, piece by piece.

Each is a few strips drawn out along the road. A piece spans a stretch of distance, so that
vehicles can be painted between the pieces behind and before them.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from dashseg.scenes.camera import Floats, View
from dashseg.scenes.canvas import UNDRIVABLE, Canvas, Layer, bounds, colour
from dashseg.scenes.light import Light
from dashseg.scenes.road import Road, Side

Order = tuple[float, int, float]  # what to paint first: the greater
Thing = tuple[Order, Callable[[Canvas], None]]

# m; where the pieces meet. One piece for all that is near: a vehicle should not straddle a joint.
STATIONS = np.concatenate([[1.5], np.geomspace(13.0, 420.0, 12)])


def order(road: Road, x: float, z: float) -> Order:
    """When to paint what stands at (x, z).

    First comes the farther stretch between STATIONS; within it what lies beyond more sides of the
    road, seen from our lane; then the farther. Metres aside count double: a line of sight meets
    what stands nearer to our lane first.
    """
    stretch = float(np.searchsorted(STATIONS, z))
    beyond = sum(side.sign * (x - side.x) > 0 for side in road.sides)
    return stretch, 2 * beyond, z + 2.0 * abs(x - road.ego_x)


class Strip(NamedTuple):
    """A ribbon from (x0, y0) to (x1, y1): metres outwards from the side's x, metres up."""

    x0: float
    y0: float
    x1: float
    y1: float
    surface: Floats


class Fabric(NamedTuple):
    """Strips in painting order, lines along the road, and what repeats along it."""

    strips: tuple[Strip, ...]
    rails: tuple[tuple[float, float, Floats], ...] = ()  # height, thickness, surface
    seams: float = 0.0  # m between dark joints
    posts: float = 0.0  # m between posts
    post_height: float = 0.0
    post: Floats = colour("777777")
    mottle: float = 0.06  # how much neighbouring pieces differ


def weave(kind: str, rng: np.random.Generator) -> Fabric | None:
    """Draw the looks of a side; None for open ground."""
    grey = colour("a8a399") * rng.uniform(0.6, 1.1)
    if kind == "barrier":
        h = rng.uniform(0.8, 1.1)
        strips = [
            Strip(0.0, 0.0, 0.18, 0.3, grey * 0.8),
            Strip(0.18, 0.3, 0.26, h, grey),
            Strip(0.26, h, 0.42, h, grey * 1.15),
        ]
        if rng.random() < 0.2:  # a glare screen on top
            strips.append(Strip(0.3, h, 0.3, h + 0.6, colour("5f6f62") * 0.7))
        return Fabric(tuple(strips), seams=6.0)
    if kind == "wall":
        h = rng.uniform(2.6, 5.5)
        wall = colour(str(rng.choice(["b5a892", "a89a86", "8f8d88", "b3afa6", "9a8070"])))
        rails = tuple(
            (float(y), 0.035, wall * 0.72) for y in np.arange(1.0, h, rng.uniform(0.5, 1.0))
        )
        strips = [
            Strip(0.0, 0.0, 0.0, 0.85, grey),
            Strip(0.0, 0.85, 0.0, h, wall * 0.85),
            Strip(0.0, h, 0.25, h, wall * 1.1),
        ]
        return Fabric(tuple(strips), rails, seams=rng.uniform(3.0, 6.0))
    if kind == "guard rail":
        steel = colour("9da3a8") * rng.uniform(0.7, 1.1)
        strips = [
            Strip(0.0, 0.46, 0.05, 0.54, steel * 1.05),
            Strip(0.05, 0.54, 0.05, 0.64, steel * 0.6),
            Strip(0.05, 0.64, 0.0, 0.76, steel * 1.1),
        ]
        post = colour("6b5a48") if rng.random() < 0.5 else steel * 0.7
        return Fabric(tuple(strips), posts=2.0, post_height=0.72, post=post)
    if kind == "fence":
        wood = colour(str(rng.choice(["8a7a66", "d8d8d2", "6a6a6a"])))
        heights = (0.4, 0.75, 1.1)
        rails = tuple((y, rng.uniform(0.03, 0.1), wood) for y in heights)
        return Fabric((), rails, posts=3.0, post_height=1.2, post=wood * 0.8)
    if kind == "bank":
        earth = colour(str(rng.choice(["5f6b3c", "98885a", "8d7350", "6d7048"])))
        out, h = rng.uniform(4.0, 12.0), rng.uniform(1.8, 7.0)
        steps = np.linspace(0.0, 1.0, 5)
        bend = steps**1.4
        strips = [
            Strip(0.5 + out * steps[i], h * bend[i], 0.5 + out * steps[i + 1], h * bend[i + 1],
                  earth * (0.85 + 0.1 * i))
            for i in range(4)
        ]  # fmt: skip
        return Fabric(tuple(strips), mottle=0.13)
    return None


def pieces(
    side: Side,
    road: Road,
    fabric: Fabric,
    view: View,
    light: Light,
    rng: np.random.Generator,
) -> Iterator[Thing]:
    """One thing to paint per stretch of road: after what lies beyond, before what lies inside."""
    beyond = order(road, side.x + side.sign * 0.01, 0.0)[1]
    seeds = rng.integers(0, 2**32, len(STATIONS) - 1)
    for n in range(len(STATIONS) - 1):
        near, far = float(STATIONS[n]), float(STATIONS[n + 1])
        reach = abs(side.x + float(view.centre(far)))
        if far < reach * 0.4:  # beside the camera, outside the image
            continue
        near = max(near, reach * 0.3)
        if near < far:
            when = (float(n + 1), beyond - 1, far)
            yield when, _painter(side, fabric, view, light, near, far, int(seeds[n]))


def _painter(
    side: Side, fabric: Fabric, view: View, light: Light, near: float, far: float, seed: int
) -> Callable[[Canvas], None]:
    def paint(canvas: Canvas) -> None:
        rng = np.random.default_rng(seed)
        z = np.linspace(far, near, 7)
        heights = [s.y1 for s in fabric.strips] + [r[0] for r in fabric.rails]
        tallest = max([*heights, fabric.post_height])
        deepest = max([0.0, *(s.x1 for s in fabric.strips)])
        corners = np.concatenate(
            [view.project(side.x + side.sign * x, y, z)
             for x in (0.0, deepest) for y in (0.0, tallest)]
        )  # fmt: skip
        layer = Layer(canvas, bounds(corners, 2.0))
        if layer.empty:
            return
        normal = np.array([[-0.95 * side.sign, 0.2, -0.25]])
        lit = light.on_faces(normal / np.sqrt((normal**2).sum()))[0]
        world_x = side.x + float(view.centre(near))

        beams = light.beam(world_x, z) * 0.35
        lights = lit + np.asarray(beams)[:, None]  # (7, 3)

        def tone(surfaces: Floats, at: Floats) -> Floats:
            """Surfaces (N, 3) at distances (N,) as seen from here."""
            fall = np.stack([np.interp(at, z[::-1], lights[::-1, c]) for c in range(3)], -1)
            return light.through_air(surfaces * fall, at[:, None])

        if fabric.posts:
            at = _repeat(near, min(far, 70.0), fabric.posts)[::-1]
            x = side.x + side.sign * np.array([0.05, 0.2, 0.2, 0.05])
            y = np.array([0.0, 0.0, fabric.post_height, fabric.post_height])
            layer.faces(
                view.project(x, y, at[:, None]), tone(np.tile(fabric.post, (len(at), 1)), at)
            )
        long = np.stack([z[:-1], z[1:], z[1:], z[:-1]], -1)  # (6, 4) far to near
        for strip in fabric.strips:
            x = side.x + side.sign * np.array([strip.x0, strip.x0, strip.x1, strip.x1])
            y = np.array([strip.y0, strip.y0, strip.y1, strip.y1])
            vary = np.maximum(1.0 + fabric.mottle * rng.standard_normal((6, 1)), 0.4)
            layer.faces(view.project(x, y, long), tone(strip.surface * vary, z[1:]))
        for height, thick, surface in fabric.rails:
            low = view.project(side.x, height, z)
            high = view.project(side.x, height + thick, z)
            if (low[-1, 1] - high[-1, 1]) > 0.3:
                ribbon = np.stack([low[:-1], low[1:], high[1:], high[:-1]], 1)
                layer.faces(ribbon, tone(np.tile(surface, (6, 1)), z[1:]))
        if fabric.seams:
            at = _repeat(near, min(far, 90.0), fabric.seams)
            top = max(s.y1 for s in fabric.strips)
            x = side.x + side.sign * 0.2 * (top < 1.2) * np.array([0.0, 0.0, 1.0, 1.0])
            joints = at[:, None] + np.array([0.0, 0.05, 0.05, 0.0])
            seams = view.project(x, np.array([0.0, 0.0, top, top]), joints)
            dark = np.tile(fabric.strips[0].surface * 0.55, (len(at), 1))
            layer.faces(seams, tone(dark, at))
        layer.stamp(UNDRIVABLE, near, view.hidden_below(near))

    return paint


def _repeat(near: float, far: float, gap: float) -> Floats:
    """Multiples of gap in near..far, so that neighbouring pieces agree."""
    return np.arange(np.ceil(near / gap), np.ceil(far / gap), dtype=float) * gap
