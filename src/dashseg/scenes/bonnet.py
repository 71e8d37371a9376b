"""The camera's own car: bonnet, wipers, dashboard and mount, in front of everything else.

The shape belongs to the device (the same car on every frame that it filmed); only the light on it
changes from scene to scene.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.scenes.camera import Camera, Float32s, Floats
from dashseg.scenes.canvas import MY_CAR, Canvas, Layer, bounds, colour
from dashseg.scenes.light import Light
from dashseg.scenes.textures import noise_tile

PAINTS = ["c9ccd0", "8d9298", "3a3d42", "15171a", "1d2b45", "5a1b1e", "e2e2de", "4b5a4e"]


class Bonnet(NamedTuple):
    """Heights are shares of the image's height, measured up from its bottom edge."""

    present: bool
    top: float  # of the bonnet in the middle of the image
    arch: float  # how much lower it is at the sides
    lean: float
    dash: float  # of the dashboard's edge, below the bonnet; 0 for none
    paint: Floats
    gloss: float
    crease: float
    wiper: float  # where the wiper rests, 0 for none
    mount: int  # 0 none, 1 an arm from below, 2 a pod at the top edge
    mount_u: float
    pattern: float


def sample_bonnet(rng: np.random.Generator) -> Bonnet:
    """Draw a device's car."""
    top = rng.uniform(0.13, 0.27)
    return Bonnet(
        present=bool(rng.random() < 0.93),
        top=top,
        arch=rng.uniform(0.015, 0.075),
        lean=rng.uniform(-0.02, 0.02),
        dash=top * rng.uniform(0.3, 0.75) if rng.random() < 0.75 else 0.0,
        paint=colour(str(rng.choice(PAINTS))),
        gloss=rng.uniform(0.25, 0.7),
        crease=rng.uniform(0.15, 0.4),
        wiper=rng.uniform(0.2, 0.9) if rng.random() < 0.5 else 0.0,
        mount=int(rng.choice([0, 1, 2], p=[0.86, 0.05, 0.09])),
        mount_u=rng.uniform(0.2, 0.8),
        pattern=rng.uniform(0.3, 1.0),
    )


def _edge(bonnet: Bonnet, camera: Camera, height: float, arch: float) -> Floats:
    """The image row (W,) of an arched edge whose middle is `height` above the bottom."""
    across = (np.arange(camera.width) + 0.5) / camera.width * 2.0 - 1.0
    rise = height - arch * across**2 - 0.3 * arch * across**6 + bonnet.lean * across
    return camera.height * (1.0 - rise)


def covered_from(camera: Camera, bonnet: Bonnet) -> int:
    """The image row from which downwards the car covers the whole width."""
    if not bonnet.present:
        return camera.height
    edge = _edge(bonnet, camera, bonnet.top, bonnet.arch)
    return min(camera.height, int(np.ceil(edge.max())) + 1)


def paint_bonnet(canvas: Canvas, camera: Camera, light: Light, bonnet: Bonnet) -> None:
    """Cover the lowest part of the canvas with the car itself."""
    if bonnet.present:
        _paint_panels(canvas, camera, light, bonnet)
    if bonnet.mount:
        _paint_mount(canvas, camera, light, bonnet)


def _paint_panels(canvas: Canvas, camera: Camera, light: Light, bonnet: Bonnet) -> None:
    height, width = canvas.label.shape
    edge = _edge(bonnet, camera, bonnet.top, bonnet.arch)
    first = max(0, int(edge.min()) - 1)
    if first >= height:
        return
    v = (np.arange(first, height) + 0.5)[:, None].astype(np.float32)  # (R, 1)
    across = ((np.arange(width) + 0.5) / width * 2.0 - 1.0).astype(np.float32)[None, :]
    depth = (v - edge[None, :].astype(np.float32)) / height  # (R, W), 0 at the bonnet's edge

    below = np.maximum(depth, 0.0)
    mirror = _reflection(canvas, first)
    fresnel = bonnet.gloss * (0.25 + 0.75 / (1.0 + 22.0 * below))
    crown = 1.0 - 0.35 * np.abs(across) - 1.2 * below
    for side in (-1.0, 1.0):  # pressed creases catch the light on one flank
        crease = np.clip(1.0 - np.abs(across - side * bonnet.crease * (1 + depth)) / 0.03, 0, 1)
        crown = crown + side * 0.12 * crease
    rim = 0.55 + 0.45 * np.clip(depth * 150.0, 0.0, 1.0)  # the rim's dark line
    body = (bonnet.paint * light.level * 0.75).astype(np.float32)
    panels = [
        (crown * tone * (1.0 - 0.6 * fresnel) + shine * fresnel) * rim
        for tone, shine in zip(body, mirror, strict=True)
    ]
    if bonnet.dash:
        dash_cover, dash_shade = _dashboard(camera, bonnet, v, across)
        black = (light.level * 0.012 + 0.003).astype(np.float32)
        for panel, tone, shine in zip(panels, black, mirror, strict=True):
            panel += dash_cover * (dash_shade * tone + shine * 0.035 - panel)
    cover = np.clip(depth * height + 0.5, 0.0, 1.0)
    rgba = cv2.merge([*(panel * cover for panel in panels), cover])
    canvas.stamp(rgba.astype(np.float32, copy=False), 0, first, MY_CAR, 0.5)
    if bonnet.wiper and bonnet.dash:
        _paint_wiper(canvas, camera, light, bonnet)


def _reflection(canvas: Canvas, first: int) -> list[Float32s]:
    """The scene mirrored at the bonnet's edge and smeared along it: three planes (R, W)."""
    height, width = canvas.label.shape
    rows = height - first
    above = canvas.rgb[max(0, first - int(rows * 2.2)) : first]
    if len(above) == 0:
        return [np.zeros((rows, width), np.float32)] * 3
    small = cv2.resize(above[::-1], (96, 40), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(np.minimum(small, 1.5), (0, 0), sigmaX=3.0, sigmaY=1.5)
    smeared = cv2.resize(small, (width, rows), interpolation=cv2.INTER_CUBIC)
    return [plane.astype(np.float32, copy=False) for plane in cv2.split(smeared)]


def _dashboard(
    camera: Camera, bonnet: Bonnet, v: Float32s, across: Float32s
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The share of each pixel that cowl and dashboard cover, and their shade: both (R, W)."""
    height = camera.height
    lower = _edge(bonnet, camera, bonnet.dash, bonnet.arch * 0.35)
    depth: Float32s = (v - lower[None, :].astype(np.float32)) / np.float32(height)
    cover = np.clip(depth * height + 0.5, 0.0, 1.0)
    shade = 1.0 + 1.5 * np.clip(1.0 - depth / 0.012, 0.0, 1.0)  # the cowl's lit lip
    band = np.clip(1.0 - np.abs(depth - 0.045) / 0.012, 0.0, 1.0)
    slots = (np.mod(across * 60.0, 1.0) < 0.45) * (np.abs(across) < 0.85)
    shade = shade + bonnet.pattern * 1.6 * band * slots
    grain = noise_tile(26, 64, 2)[: len(v)]
    return cover, shade * (1.0 + 0.06 * np.resize(grain, (len(v), across.shape[1])))


def _paint_wiper(canvas: Canvas, camera: Camera, light: Light, bonnet: Bonnet) -> None:
    """A wiper at rest along the cowl."""
    u = np.linspace(-0.35, 0.3, 24) + bonnet.wiper
    rise = bonnet.dash + 0.004 + 0.02 * (u - bonnet.wiper + 0.35)
    across = u * 2.0 - 1.0
    rise = rise - bonnet.arch * 0.35 * across**2 + bonnet.lean * across
    points = np.stack([u * camera.width, camera.height * (1.0 - rise)], -1)
    layer = Layer(canvas, bounds(points, 4.0))
    if not layer.empty:
        layer.line(points, light.level * 0.01 + 0.002, 3.0 * camera.width / 1164)
        layer.stamp(MY_CAR, 0.4)


def _paint_mount(canvas: Canvas, camera: Camera, light: Light, bonnet: Bonnet) -> None:
    """The holder of a telephone or a camera on the windscreen."""
    w, h = camera.width, camera.height
    u = bonnet.mount_u * w
    if bonnet.mount == 1:
        points = np.array(
            [[u - 0.02 * w, h], [u - 0.012 * w, 0.8 * h], [u - 0.06 * w, 0.79 * h],
             [u - 0.06 * w, 0.7 * h], [u + 0.06 * w, 0.7 * h], [u + 0.06 * w, 0.79 * h],
             [u + 0.012 * w, 0.8 * h], [u + 0.02 * w, h]]
        )  # fmt: skip
    else:
        angle = np.linspace(0.0, np.pi, 20)
        points = np.stack([u + 0.09 * w * np.cos(angle), 0.1 * h * np.sin(angle)], -1)
        points = np.concatenate([points, [[u - 0.09 * w, -2.0], [u + 0.09 * w, -2.0]]])
    layer = Layer(canvas, bounds(points))
    if layer.empty:
        return
    layer.polygon(points, light.level * 0.015 + 0.002)
    inner = points.mean(axis=0) + (points - points.mean(axis=0)) * 0.86
    layer.polygon(inner, light.level * 0.025 + 0.003)
    layer.stamp(MY_CAR, 0.3)
