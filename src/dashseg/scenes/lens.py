"""Any dash camera: a varied scene's lens, its mounting behind the windscreen, sensor and codec.

`sample_camera` draws one; `finish` gives a developed picture what this camera adds to it.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.images import resize_image
from dashseg.scenes.camera import Camera, Float32s
from dashseg.scenes.canvas import MY_CAR
from dashseg.scenes.textures import noise_tile

Bytes = NDArray[np.uint8]

_COARSE = 16  # pixels: shading and veils are smooth, and worked out on so coarse a grid


class Mounting(NamedTuple):
    """How the camera hangs, and what it makes of the picture; the defaults change nothing."""

    roll: float = 0.0  # degrees
    bonnet: bool = True  # whether it shows
    quality: int = 100  # JPEG's; 100: none
    detail: float = 1.0  # share of the resolution that the optics and the codec keep
    sharpen: float = 0.0  # strength of the halos along edges
    contrast: float = 0.0  # -1 flat .. 1 steep
    black: float = 0.0  # grey level, 0..1, of black
    shading: tuple[tuple[float, float, float], ...] = ()  # per channel: across, down, corners
    veil: float = 0.0  # light that dirt and the windscreen scatter, 0..1
    pillar: float = 0.0  # width that a windscreen pillar covers below; < 0 on the left
    visor: float = 0.0  # height that the windscreen's upper frame covers
    seed: int = 0  # of the veil's pattern


def sample_camera(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Camera, Mounting]:
    """Draw a camera of 40° to 120° across, 1 to 2.5 m above the road.

    Its own picture is 4:3, 3:2, 16:9 or about 2:1, of as many pixels as `size`, height and width.
    """
    aspect = float(rng.choice([4 / 3, 3 / 2, 16 / 9, 1.93], p=[0.4, 0.15, 0.37, 0.08]))
    squeeze = float(np.sqrt(size[1] / size[0] / aspect))
    height, width = round(size[0] * squeeze), round(size[1] / squeeze)
    across = np.deg2rad(rng.uniform(40, 120) if rng.random() < 0.6 else rng.uniform(48, 75))
    steep = rng.random() < 0.12  # looks down at the road, or up
    camera = Camera(
        width=width,
        height=height,
        focal=width / 2 / float(np.tan(across / 2)),
        centre_u=width * rng.uniform(0.4, 0.6),
        horizon_v=height * (rng.uniform(0.1, 0.68) if steep else rng.uniform(0.28, 0.58)),
        eye=rng.uniform(1.0, 1.7) if rng.random() < 0.75 else rng.uniform(1.7, 2.5),
    )

    def maybe(share: float, low: float, high: float, otherwise: float = 0.0) -> float:
        return float(rng.uniform(low, high)) if rng.random() < share else otherwise

    return camera, Mounting(
        roll=float(np.clip(rng.normal(0, 1.7), -5, 5)) if rng.random() < 0.6 else 0.0,
        bonnet=bool(rng.random() < 0.45),
        quality=int(maybe(0.6, 25, 92, 100)),
        detail=maybe(0.35, 0.35, 0.85, 1.0),
        sharpen=maybe(0.3, 0.3, 1.6),
        contrast=maybe(0.75, -0.3, 1.2),
        black=maybe(0.25, 0.0, 0.12),
        shading=_shading(rng) if rng.random() < 0.25 else (),
        veil=maybe(0.25, 0.03, 0.3),
        pillar=maybe(0.1, 0.02, 0.14) * float(rng.choice([-1, 1])),
        visor=maybe(0.08, 0.02, 0.1),
        seed=int(rng.integers(0, 2**31)),
    )


def _shading(rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    """Mostly of brightness; cheap lenses shade each colour a little differently."""
    common, colours = rng.normal(0, [0.1, 0.1, 0.15]), rng.choice([0.02, 0.06, 0.15])
    return tuple(tuple((common + rng.normal(0, colours, 3)).tolist()) for _ in range(3))


def finish(
    image: Bytes, label: Bytes, mounting: Mounting, size: tuple[int, int] | None = None
) -> tuple[Bytes, Bytes]:
    """What the camera makes of a picture: (H, W, 3) RGB and (H, W).

    Both are resized to `size`, height and width, whatever their proportions: so do networks. The
    car's frame around the windscreen becomes "my car"; all else leaves the label to its pixels.
    """
    if mounting.roll:
        image, label = _roll(image, label, mounting.roll)
    if mounting.pillar or mounting.visor:
        image, label = _windscreen_frame(image, label, mounting)
    if mounting.veil or mounting.shading:
        image = _shade(image, mounting)
    if mounting.detail < 1.0:
        height, width = label.shape
        small = (max(1, round(width * mounting.detail)), max(1, round(height * mounting.detail)))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    if mounting.sharpen:
        soft = cv2.GaussianBlur(image, (0, 0), 1.2)
        image = cv2.addWeighted(image, 1 + mounting.sharpen, soft, -mounting.sharpen, 0).astype(
            np.uint8, copy=False
        )
    if mounting.contrast or mounting.black:
        image = cv2.LUT(image, _curve(mounting)).astype(np.uint8, copy=False)
    if mounting.quality < 100:  # at the small size: blocks grow with the picture, as a video's do
        settings = [cv2.IMWRITE_JPEG_QUALITY, mounting.quality]
        data = cv2.imencode(".jpg", image[..., ::-1], settings)[1]
        image = np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
    if size and label.shape != size:
        label = cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT).astype(
            np.uint8, copy=False
        )
    return resize_image(image, label.shape), label


def _roll(image: Bytes, label: Bytes, roll: float) -> tuple[Bytes, Bytes]:
    height, width = label.shape
    angle = np.deg2rad(abs(roll))
    # Enlarged so far that no corner is empty.
    zoom = np.cos(angle) + max(height / width, width / height) * np.sin(angle)
    turn = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), roll, zoom)
    turned = cv2.warpAffine(image, turn, (width, height))
    moved = cv2.warpAffine(label, turn, (width, height), flags=cv2.INTER_NEAREST)
    return turned.astype(np.uint8, copy=False), moved.astype(np.uint8, copy=False)


def _windscreen_frame(image: Bytes, label: Bytes, mounting: Mounting) -> tuple[Bytes, Bytes]:
    """A dark pillar along one side, and the roof's edge above."""
    height, width = label.shape
    mask = np.zeros((height, width), np.uint8)
    if mounting.pillar:
        foot, top = abs(mounting.pillar) * width, abs(mounting.pillar) * width * 0.15
        corners = np.array([[0, 0], [top, 0], [foot, height], [0, height]])
        if mounting.pillar > 0:
            corners[:, 0] = width - 1 - corners[:, 0]
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
    if mounting.visor:
        u = np.linspace(-1, 1, 17)
        v = height * mounting.visor * (0.5 + 0.5 * u**2)
        arch = np.stack([(u + 1) / 2 * width, v], 1)
        arch = np.concatenate([arch, [[width, 0], [0, 0]]])
        cv2.fillPoly(mask, [np.rint(arch).astype(np.int32)], 1)
    image, label = image.copy(), label.copy()
    covered = mask.astype(bool)
    image[covered] = image[covered] // 12 + np.array([14, 14, 15], np.uint8)
    label[covered] = MY_CAR
    return image, label


def _shade(image: Bytes, mounting: Mounting) -> Bytes:
    """Uneven colour across the lens, and scattered light: brighter where the pattern is."""
    height, width = image.shape[:2]
    rows, columns = -(-height // _COARSE) + 1, -(-width // _COARSE) + 1
    u = np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
    v = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    gain = np.ones((rows, columns, 3), np.float32)
    for channel, (across, down, corners) in enumerate(mounting.shading):
        gain[..., channel] += across * u + down * v + corners * (u * u + v * v - 0.7)
    light: Float32s = np.zeros((rows, columns), np.float32)
    if mounting.veil:
        rng = np.random.default_rng(mounting.seed)
        top, left = rng.integers(0, 400, 2)
        patches = noise_tile(27, 8, 5)[top : top + rows, left : left + columns]
        patches = cv2.resize(patches, (columns, rows)).astype(np.float32, copy=False)
        slope = rng.uniform(-0.5, 0.5) * u + rng.uniform(-0.8, 0.8) * v
        light += np.maximum(0.6 + 0.35 * patches + slope, 0) * np.float32(mounting.veil)
        gain *= (1.0 - 0.6 * np.minimum(light, 1.0))[..., None]
        light *= np.float32(image.mean() * 0.6 + 60.0)
    full = (width, height)
    gain = cv2.resize(np.maximum(gain, 0.2), full).astype(np.float32, copy=False)
    shaded = cv2.multiply(image, gain, dtype=cv2.CV_8U)
    if mounting.veil:
        scattered = cv2.resize(light, full).astype(np.uint8)
        shaded = cv2.add(shaded, cv2.merge([scattered] * 3))
    return shaded.astype(np.uint8, copy=False)


def _curve(mounting: Mounting) -> Bytes:
    """The table (256,) of grey levels: contrast about the middle, and a raised black."""
    grey = np.arange(256) / 255.0
    steep = grey * grey * (3 - 2 * grey)
    grey = grey + mounting.contrast * (steep - grey)
    grey = mounting.black + (1 - mounting.black) * grey
    return np.rint(grey * 255).clip(0, 255).astype(np.uint8)
