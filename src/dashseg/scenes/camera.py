"""A pinhole camera over a road that bends and rolls: metres in, pixels out.

The world is x right, y up, z forward, in metres, with the origin on the road below the camera.
Road coordinates (X, Y, z) are measured from the road itself: X metres right of its reference
line, Y metres above its surface, at distance z. Pixel (row i, column j) covers the square
[j, j + 1) x [i, i + 1), so that its centre lies at u = j + 0.5, v = i + 0.5.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Float32s = NDArray[np.float32]

NEAREST = 1.0  # m; nearer ground is under the bonnet
FARTHEST = 3000.0  # m; the ground ends here, at most one pixel below the true horizon


@dataclass(frozen=True)
class Camera:
    """Image size in pixels, focal length and principal point in pixels, eye height in metres."""

    width: int
    height: int
    focal: float
    centre_u: float
    horizon_v: float
    eye: float


class GroundPixels(NamedTuple):
    """What each pixel at or below the horizon sees of the ground.

    first_row: the first image row that shows ground; R rows follow.
    z: (R, 1) float32, distance of the row's centre. depth_step: (R, 1), metres of z per row.
    x: (R, W) float32, metres right of the road's reference line at each pixel's centre.
    pixel: (R, 1) float32, metres of x per column.
    """

    first_row: int
    z: Float32s
    depth_step: Float32s
    x: Float32s
    pixel: Float32s


class View:
    """A camera on a particular road; turns road coordinates into pixels and back.

    bends: (K, 2) distance in m and curvature in 1/m. slopes: (K, 2) distance and rise per metre.
    offset: where the road's reference line passes the camera, in metres to its right.
    """

    def __init__(self, camera: Camera, bends: Floats, slopes: Floats, offset: float) -> None:
        self.camera = camera
        self._z = np.geomspace(NEAREST, FARTHEST, 1600)
        step = np.diff(self._z, prepend=0.0)
        heading = np.cumsum(np.interp(self._z, bends[:, 0], bends[:, 1]) * step)
        self._centre = offset + np.cumsum(heading * step)
        self._rise = np.cumsum(np.interp(self._z, slopes[:, 0], slopes[:, 1]) * step)
        v = camera.horizon_v + camera.focal * (camera.eye - self._rise) / self._z
        self._crest = np.minimum.accumulate(v)  # the road behind a crest is hidden by it
        self._v = v

    def centre(self, z: ArrayLike) -> Floats:
        """World x of the road's reference line at distance z."""
        return np.interp(np.asarray(z, dtype=float), self._z, self._centre)

    def rise(self, z: ArrayLike) -> Floats:
        """World y of the road's surface at distance z."""
        return np.interp(np.asarray(z, dtype=float), self._z, self._rise)

    def project(self, x: ArrayLike, y: ArrayLike, z: ArrayLike) -> Floats:
        """Road coordinates, of any shapes that broadcast, to pixels (..., 2) as (u, v)."""
        # What is behind the camera lands far outside the image.
        ahead = np.maximum(np.asarray(z, dtype=float), 0.3)
        c = self.camera
        per_metre = c.focal / ahead
        u = c.centre_u + per_metre * (np.asarray(x) + self.centre(ahead))
        v = c.horizon_v + per_metre * (c.eye - np.asarray(y) - self.rise(ahead))
        points = np.empty((*np.broadcast_shapes(u.shape, v.shape), 2))
        points[..., 0], points[..., 1] = u, v
        return points

    def rectangle(self, left: float, right: float, low: float, high: float, z: float) -> Floats:
        """The corners (4, 2) in pixels of an upright rectangle across the road at distance z."""
        xs, ys = np.array([left, right, right, left]), np.array([low, low, high, high])
        return self.project(xs, ys, z)

    def scale(self, z: float) -> float:
        """Pixels per metre at distance z."""
        return self.camera.focal / max(z, 0.3)

    def heading(self, z: float) -> float:
        """The road's direction at distance z: metres to the right per metre forward."""
        near, far = self.centre([z - 0.5, z + 0.5])
        return float(far - near)

    def hidden_below(self, z: float) -> float:
        """Image row from which downwards a nearer crest hides what stands at distance z."""
        crest = float(np.interp(z, self._z, self._crest))
        base = float(np.interp(z, self._z, self._v))
        return crest if crest < base - 0.3 else float("inf")

    def ground_pixels(self, until: int) -> GroundPixels:
        """The ground as each pixel's centre sees it, in the image rows above `until`."""
        c = self.camera
        first_row = max(0, int(np.ceil(self._crest[-1] - 0.5)))
        v = np.arange(first_row, max(first_row, until)) + 0.5
        z = np.interp(v, self._crest[::-1], self._z[::-1])
        edges = np.interp(np.append(v - 0.5, v[-1:] + 0.5), self._crest[::-1], self._z[::-1])
        u = np.arange(c.width) + 0.5
        pixel = z / c.focal
        x = (u - c.centre_u)[None, :] * pixel[:, None] - self.centre(z)[:, None]
        return GroundPixels(
            first_row,
            z[:, None].astype(np.float32),
            -np.diff(edges)[:, None].astype(np.float32),
            x.astype(np.float32),
            pixel[:, None].astype(np.float32),
        )
