"""Trees and bushes: a small fixed collection of sprites, set up along the road.

A sprite is premultiplied (S, S, 4) float32 with its foot at the middle of the lowest row. Foliage
is painted as thousands of leaf-sized dabs, dark ones first and sunlit ones on top, as a painter
would.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np

from dashseg.scenes.camera import Float32s, Floats, View
from dashseg.scenes.canvas import UNDRIVABLE, Canvas, Colour, colour
from dashseg.scenes.light import Light

SIZE = 384  # pixels a side of a sprite
DRAWN = 2 * SIZE  # drawn at twice that and reduced


class Tree(NamedTuple):
    """Where a tree stands in road coordinates, how tall it is (m), what it looks like."""

    x: float
    z: float
    height: float
    kind: str
    variant: int
    tint: Colour
    stretch: float


def _dabs(image: Float32s, x: Floats, y: Floats, r: Floats, tones: Floats) -> None:
    """Round dabs of colour at (x, y), N each, in shares of the sprite's side; later ones on top."""
    sizes = np.clip((r * DRAWN).astype(int), 1, 7)
    topmost = np.full(DRAWN * DRAWN, -1, np.int32)  # which dab each pixel shows
    for size in np.unique(sizes):
        chosen = np.flatnonzero(sizes == size)
        dy, dx = np.mgrid[-size : size + 1, -size : size + 1]
        disc = dx**2 + dy**2 <= size**2 + 1
        columns = (x[chosen] * DRAWN).astype(int)[:, None] + dx[disc]
        rows = (y[chosen] * DRAWN).astype(int)[:, None] + dy[disc]
        inside = (columns >= 0) & (columns < DRAWN) & (rows >= 0) & (rows < DRAWN)
        dabs = np.broadcast_to(chosen[:, None], rows.shape)
        topmost[(rows * DRAWN + columns)[inside]] = dabs[inside]
    painted = np.flatnonzero(topmost >= 0)
    flat = image.reshape(-1, 4)
    flat[painted, :3] = tones[topmost[painted]]
    flat[painted, 3] = 1.0


def _limb(image: Float32s, a: tuple[float, float], b: tuple[float, float], w: float) -> None:
    bark = colour("4a3b2e")
    start, end = (int(a[0] * DRAWN), int(a[1] * DRAWN)), (int(b[0] * DRAWN), int(b[1] * DRAWN))
    cv2.line(image, start, end, (*map(float, bark), 1.0), max(1, int(w * DRAWN)))


def _foliage(
    image: Float32s, blobs: list[tuple[float, float, float]], dabs: int, rng: np.random.Generator
) -> None:
    """Fill round blobs (x, y, r) with leaves, lit from above."""
    green = colour("5f7a3c")
    middle = np.array(blobs)[rng.permutation(len(blobs))]
    for share, dark in ((0.3, 0.3), (0.7, 1.0)):  # an inner shadow, then the leaves
        count = int(dabs * share / len(blobs))
        x, y, r = np.repeat(middle, count, axis=0).T
        angle, away = rng.uniform(0, 2 * np.pi, len(x)), np.sqrt(rng.random(len(x))) * r
        dx, dy = np.cos(angle) * away, np.sin(angle) * away
        lit = dark * (0.55 - 0.45 * dy / r + 0.25 * rng.standard_normal(len(x)))
        lit *= 1.15 - 0.5 * y
        tones = green * np.clip(lit, 0.12, 1.6)[:, None]
        _dabs(image, x + dx, y + dy, rng.uniform(0.0025, 0.007, len(x)), tones)


def _broadleaf(image: Float32s, rng: np.random.Generator) -> None:
    wide, low = rng.uniform(0.3, 0.45), rng.uniform(0.62, 0.85)
    _limb(image, (0.5, 1.0), (0.5 + rng.uniform(-0.03, 0.03), 0.5), rng.uniform(0.03, 0.05))
    middle, half = low / 2 + 0.03, low / 2
    blobs = []
    for _ in range(26):
        angle, away = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
        r = rng.uniform(0.06, 0.14)
        x = 0.5 + np.cos(angle) * away * (wide - r * 0.6)
        blobs.append((x, max(r, middle + np.sin(angle) * away * (half - r * 0.6)), r))
    for x, y, _ in blobs[::4]:
        _limb(image, (0.5, 0.75), (x, y), 0.012)
    _foliage(image, blobs, 15000, rng)


def _conifer(image: Float32s, rng: np.random.Generator) -> None:
    _limb(image, (0.5, 1.0), (0.5, 0.1), 0.02)
    wide = rng.uniform(0.16, 0.27)
    green = colour("3f5a3a")
    for level in np.arange(0.02, 0.92, 0.013):
        reach = wide * (0.08 + level) * rng.uniform(0.7, 1.15)
        count = int(14 + 110 * level)
        side = rng.uniform(-1.0, 1.0, count)
        y = level + 0.07 * side * side + rng.uniform(-0.01, 0.02, count)
        lit = 0.6 + 0.3 * rng.standard_normal(count) - 0.25 * np.abs(side) + 0.2 * (1 - level)
        tones = green * np.clip(lit, 0.12, 1.5)[:, None]
        _dabs(image, 0.5 + side * reach, y, rng.uniform(0.003, 0.007, count), tones)


def _palm(image: Float32s, rng: np.random.Generator) -> None:
    lean = rng.uniform(-0.04, 0.04)
    _limb(image, (0.5, 1.0), (0.5 + lean, 0.2), 0.022)
    green = colour("63763f")
    for angle in np.linspace(-0.35, np.pi + 0.35, 15):
        long = rng.uniform(0.15, 0.24)
        for t in np.linspace(0.0, 1.0, 26):
            x = 0.5 + lean + np.cos(angle) * long * t
            y = 0.19 - np.sin(angle) * long * t * 0.75 + 0.13 * t * t
            leaf = 0.045 * (1 - t) + 0.008
            r0, g0, b0 = (float(c) for c in green * rng.uniform(0.35, 1.2))
            a, b = (int(x * DRAWN), int(y * DRAWN)), (int(x * DRAWN), int((y + leaf) * DRAWN))
            cv2.line(image, a, b, (r0, g0, b0, 1.0), 2)


def _bare(image: Float32s, rng: np.random.Generator) -> None:
    def grow(x: float, y: float, angle: float, long: float, wide: float) -> None:
        if long < 0.025:
            return
        to = (x + np.sin(angle) * long, y - np.cos(angle) * long)
        _limb(image, (x, y), to, wide)
        for _ in range(2 + (long < 0.12)):
            turn = rng.uniform(-0.75, 0.75)
            grow(*to, angle + turn, long * rng.uniform(0.6, 0.82), wide * 0.62)

    grow(0.5, 1.0, 0.0, rng.uniform(0.2, 0.28), 0.03)


def _bush(image: Float32s, rng: np.random.Generator) -> None:
    blobs = []
    for _ in range(18):
        r = rng.uniform(0.09, 0.2)
        x = rng.uniform(r, 1.0 - r)
        blobs.append((x, 1.0 - r * rng.uniform(0.5, 1.0) - rng.uniform(0, 0.25), r))
    _foliage(image, blobs, 15000, rng)


# How to draw each kind, and how many variants of it there are.
MAKERS: dict[str, tuple[Callable[[Float32s, np.random.Generator], None], int]] = {
    "broadleaf": (_broadleaf, 5),
    "conifer": (_conifer, 3),
    "palm": (_palm, 2),
    "bare": (_bare, 2),
    "bush": (_bush, 3),
}


@cache
def sprite(kind: str, variant: int) -> tuple[Float32s, ...]:
    """One variant of a kind of tree, as a pyramid from SIZE pixels a side downwards."""
    make, _ = MAKERS[kind]
    drawn = np.zeros((DRAWN, DRAWN, 4), np.float32)
    make(drawn, np.random.default_rng([31, variant, *kind.encode()]))
    size, levels = SIZE, []
    while size >= 8:
        small = cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA)
        levels.append(small.astype(np.float32))
        size //= 2
    return tuple(levels)


def paint_tree(canvas: Canvas, view: View, light: Light, tree: Tree) -> None:
    """Put one tree on the canvas."""
    tall = tree.height * view.scale(tree.z)
    if tall < 3.0:
        return
    foot_u, foot_v = view.project(tree.x, 0.0, tree.z)
    wide = tall * tree.stretch
    height, width = canvas.label.shape
    left, right = max(0, int(foot_u - wide / 2)), min(width, int(foot_u + wide / 2) + 1)
    top, bottom = max(0, int(foot_v - tall)), min(height, int(foot_v) + 1)
    if right <= left or bottom <= top:
        return
    levels = sprite(tree.kind, tree.variant % MAKERS[tree.kind][1])
    level = 0
    while level + 1 < len(levels) and levels[level + 1].shape[0] >= tall:
        level += 1
    source = levels[level]
    size = source.shape[0]
    across, down = size / wide, size / tall
    if tree.variant % 2:
        across = -across
    move = np.array(
        [
            [across, 0.0, (left + 0.5 - foot_u) * across + size / 2 - 0.5],
            [0.0, down, (top + 0.5 - foot_v) * down + size - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    drawn = cv2.warpAffine(source, move, (right - left, bottom - top), flags=flags)
    clear = float(light.clearness(tree.z))
    lit = light.level * 0.8 + np.array([1.0, 0.93, 0.8]) * float(light.beam(tree.x, tree.z)) * 0.25
    scale = (np.asarray(tree.tint) * lit * clear).astype(np.float32)
    mix = np.eye(4, dtype=np.float32)
    mix[[0, 1, 2], [0, 1, 2]] = scale
    mix[:3, 3] = light.horizon * (1.0 - clear)
    shaded = cv2.transform(drawn, mix).astype(np.float32, copy=False)
    canvas.stamp(shaded, left, top, UNDRIVABLE, tree.z, view.hidden_below(tree.z))
