"""Noise: seamless tiles made once per process from fixed seeds, and curves drawn from a generator.

The tiles are constants: they do not depend on the scene, so that what was rendered before cannot
change what is rendered next.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import ArrayLike

from dashseg.scenes.camera import Float32s, Floats

TILE = 512  # pixels a side


@cache
def noise_tile(seed: int, cells: int, octaves: int, persistence: float = 0.55) -> Float32s:
    """A seamless TILE x TILE tile, mean 0, deviation 1; `cells` features a side at the coarsest."""
    rng = np.random.default_rng(seed)
    total = np.zeros((TILE, TILE))
    weight = 1.0
    for octave in range(octaves):
        count = cells << octave
        step = TILE // count
        grid = np.pad(rng.standard_normal((count, count)), 2, mode="wrap")
        size = (count + 4) * step
        fine = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
        total += weight * fine[2 * step : 2 * step + TILE, 2 * step : 2 * step + TILE]
        weight *= persistence
    return ((total - total.mean()) / total.std()).astype(np.float32)


@cache
def crack_tile() -> Float32s:
    """A seamless tile, 1 on thin wandering cracks and 0 elsewhere."""
    field = noise_tile(71, 4, 6, 0.6)
    where = noise_tile(72, 2, 3)
    ridge = np.clip(1.0 - np.abs(field) / 0.035, 0.0, 1.0)
    return (ridge * np.clip(where * 1.5, 0.0, 1.0)).astype(np.float32)


def sample(tile: Float32s, x: Float32s, y: Float32s) -> Float32s:
    """The tile's value at tile pixels (x, y), wrapped; x and y broadcast to the result's shape."""
    x, y = np.broadcast_arrays(_wrapped(x), _wrapped(y))
    x, y = np.ascontiguousarray(x, np.float32), np.ascontiguousarray(y, np.float32)
    return cv2.remap(tile, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _wrapped(at: Float32s) -> Float32s:
    """Positions moved into 0..TILE, to 2**-15: outside of it OpenCV is eight times slower."""
    return at - np.floor(at * np.float32(1 / TILE)) * np.float32(TILE)


def wander(rng: np.random.Generator, at: ArrayLike, length: float, octaves: int = 4) -> Floats:
    """A smooth random curve at positions `at`; about -1..1, its coarsest features `length` long."""
    at = np.asarray(at, dtype=float)
    total = np.zeros_like(at)
    weight = 1.0
    for octave in range(octaves):
        knots = rng.uniform(-1.0, 1.0, 64)
        total += weight * np.interp(at / length * 2**octave % 63.0, np.arange(64.0), knots)
        weight *= 0.5
    return total / 1.5


@cache
def grain() -> Float32s:
    """A pool of 2**21 standard normal numbers, the sensor's noise."""
    return np.random.default_rng(73).standard_normal(1 << 21, dtype=np.float32)
