"""From linear light to the camera's bytes: glow, glare, rain, blur, exposure, noise.

Nothing here moves anything: every step changes colours only, so that the label still fits.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.scenes.camera import Camera, Float32s
from dashseg.scenes.canvas import Canvas, Lamp
from dashseg.scenes.light import Light
from dashseg.scenes.textures import grain

STRIP = 48  # rows developed at once: their arrays stay in the processor's cache
GLOW_STEP = 4  # glow is smooth: worked out at a quarter of the resolution


def develop(
    canvas: Canvas, camera: Camera, light: Light, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The canvas as the camera would record it, (H, W, 3) uint8 RGB."""
    unit = camera.width / 1164.0  # pixels here per pixel of comma10k
    rgb = canvas.rgb
    veil = _glow(canvas, light, unit) + _glare(canvas, camera, light)
    height, width = canvas.label.shape
    rgb += cv2.resize(veil, (width, height), interpolation=cv2.INTER_LINEAR)
    if light.wet > 0.3:
        _rain(rgb, light, unit, rng)
    rgb = _motion_blur(_blur(rgb, light.softness * unit), light, unit, rng)
    gains = (light.exposure * light.tint).astype(np.float32)
    vignette = np.float32(rng.uniform(0.2, 0.75))
    noise = _noise(height, width, light.noise, rng)
    image = np.empty((height, width, 3), np.uint8)
    u2 = ((np.arange(width, dtype=np.float32) + 0.5) / width - 0.5)[None, :] ** 2
    v2 = ((np.arange(height, dtype=np.float32) + 0.5) / height - 0.5)[:, None] ** 2
    for top in range(0, height, STRIP):
        rows = slice(top, top + STRIP)
        fall = 1.0 - vignette * (u2 + v2[rows])
        image[rows] = _expose(rgb[rows] * cv2.merge([fall * g for g in gains]), noise[rows])
    return image


def _expose(light: Float32s, noise: Float32s) -> Float32s:
    """Linear light to grey levels 0..255, in place."""
    np.maximum(light, 0.0, out=light)
    # A film-like shoulder: 1.6 and more becomes white; then gamma 2.
    bright = light * np.float32(1 / 2.56)
    bright += 1.0
    bright *= light
    light += 1.0
    bright /= light
    grey = np.sqrt(np.minimum(bright, 1.0, out=bright), out=bright)
    # Half of a smooth step: blacks deeper, lights lighter, as cameras render them.
    curve = (1.5 - grey) * grey
    curve += 0.5
    grey *= curve
    grey *= 255.0
    grey += noise
    np.clip(grey, 0.0, 255.0, out=grey)
    return np.rint(grey, out=grey)


def _visible(canvas: Canvas, lamp: Lamp) -> bool:
    """Whether nothing nearer covers the lamp."""
    height, width = canvas.label.shape
    row, column = int(lamp.v), int(lamp.u)
    if not (0 <= row < height and 0 <= column < width):
        return False
    return bool(canvas.depth[row, column] > lamp.z - 1.5)


def _glow(canvas: Canvas, light: Light, unit: float) -> Float32s:
    """Halos of the lamps, and their long reflections on a wet road, at a quarter resolution."""
    height, width = canvas.label.shape
    small = (-(-height // GLOW_STEP), -(-width // GLOW_STEP), 3)
    halo, streak = np.zeros(small, np.float32), np.zeros(small, np.float32)
    lamps = [lamp for lamp in canvas.lamps if _visible(canvas, lamp)]
    for lamp in lamps:
        tone = tuple(float(c) for c in lamp.colour)
        radius = max(lamp.radius, 0.35)
        centre = (round(lamp.u * 16 - 8), round(lamp.v * 16 - 8))
        cv2.circle(canvas.rgb, centre, round(radius * 16), tone, cv2.FILLED, cv2.LINE_8, 4)
        row, column = int(lamp.v) // GLOW_STEP, int(lamp.u) // GLOW_STEP
        power = radius * radius / GLOW_STEP**2 * np.pi
        halo[row, column] += lamp.colour * power
        if light.wet and lamp.reflection_v < height:
            row = int(lamp.reflection_v) // GLOW_STEP
            streak[max(row, 0), column] += lamp.colour * power
    if not lamps:
        return halo
    unit = unit / GLOW_STEP
    veil = cv2.GaussianBlur(halo, (0, 0), 5.0 * unit) * 0.5
    veil += cv2.GaussianBlur(halo, (0, 0), 22.0 * unit) * (1.2 if light.kind == "fog" else 0.7)
    if light.wet:
        long = cv2.GaussianBlur(streak, (0, 0), sigmaX=4.0 * unit, sigmaY=45.0 * unit)
        road = canvas.label[::GLOW_STEP, ::GLOW_STEP][: small[0], : small[1], None] <= 1
        veil += long * road * (2.0 * light.wet)
    return veil.astype(np.float32)


def _glare(canvas: Canvas, camera: Camera, light: Light) -> Float32s:
    """A low sun ahead veils the whole picture, at a quarter resolution."""
    height, width = canvas.label.shape
    rows, columns = -(-height // GLOW_STEP), -(-width // GLOW_STEP)
    sx, sy, sz = light.sun_direction
    if light.kind != "low sun" or sz <= 0.2:
        return np.zeros((rows, columns, 3), np.float32)
    u0 = camera.centre_u + camera.focal * sx / sz
    v0 = camera.horizon_v - camera.focal * sy / sz
    u = (np.arange(columns, dtype=np.float32) + 0.5) * GLOW_STEP
    v = (np.arange(rows, dtype=np.float32) + 0.5) * GLOW_STEP
    away = ((u[None, :] - u0) ** 2 + (v[:, None] - v0) ** 2) / camera.focal**2
    veil = 0.016 / (away + 0.06) + 0.012
    return (veil[..., None] * light.sun).astype(np.float32)


def _rain(rgb: Float32s, light: Light, unit: float, rng: np.random.Generator) -> None:
    """Falling streaks and a few drops on the windscreen."""
    height, width = rgb.shape[:2]
    layer = np.zeros((height, width), np.float32)
    slant = rng.uniform(-0.25, 0.25)
    for _ in range(int(160 * light.wet)):
        u, v = rng.uniform(0, width), rng.uniform(-20, height)
        long = rng.uniform(8, 34) * unit
        a = (round(u * 16), round(v * 16))
        b = (round((u + slant * long) * 16), round((v + long) * 16))
        cv2.line(layer, a, b, rng.uniform(0.2, 1.0), 1, cv2.LINE_8, 4)
    soft = cv2.GaussianBlur(layer, (0, 0), 0.8 * unit + 0.2)
    rgb += cv2.merge([soft * np.float32(tone) for tone in light.horizon * 0.16])
    for _ in range(int(70 * light.wet * rng.uniform(0.2, 1.0))):
        u, v = rng.uniform(0, width), rng.uniform(0, height * 0.8)
        r = max(1.5, rng.uniform(1.5, 6.0) * unit)
        left, top = int(u - r), int(v - r)
        right, bottom = int(u + r) + 1, int(v + r) + 1
        if left < 0 or top < 0 or right >= width or bottom >= height:
            continue
        patch = rgb[top:bottom, left:right]
        y, x = np.mgrid[top:bottom, left:right]
        inside = np.clip(r - np.sqrt((x + 0.5 - u) ** 2 + (y + 0.5 - v) ** 2), 0.0, 1.0)
        upside = patch[::-1] * (0.8 + 0.5 * ((y - top) / (2 * r))[..., None])  # a drop is a lens
        patch += (inside[..., None] * 0.75 * (upside - patch)).astype(np.float32)


def _blur(rgb: Float32s, sigma: float) -> Float32s:
    return cv2.GaussianBlur(rgb, (0, 0), max(sigma, 0.3)).astype(np.float32, copy=False)


def _motion_blur(rgb: Float32s, light: Light, unit: float, rng: np.random.Generator) -> Float32s:
    """The camera shaken while the shutter is open, now and then; longer where it is dark.

    The path is centred on each pixel, so that on average nothing moves away from its label.
    """
    shaken = rng.random() < 0.3
    longest = 14.0 if light.kind in ("dusk", "night") else 7.0  # pixels of comma10k
    length = rng.uniform(2.0, longest) * unit
    angle = np.deg2rad(rng.choice([90.0, 0.0], p=[0.7, 0.3]) + rng.normal(0, 12))  # bump, or turn
    if not shaken or length < 1:
        return rgb
    half = int(np.ceil(length / 2))
    step = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    ends = [tuple(round(16 * (half + sign * s)) for s in step.tolist()) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 4)
    kernel = kernel + kernel[::-1, ::-1]
    return cv2.filter2D(rgb, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def _noise(height: int, width: int, deviation: float, rng: np.random.Generator) -> Float32s:
    """Sensor noise (H, W, 3) in grey levels, mostly brightness."""
    pool = grain()
    count = height * width
    fields = []
    for start in rng.integers(0, len(pool) // 2, 4):
        part = pool[start : start + count]
        fields.append(
            (part if len(part) == count else np.resize(pool, count)).reshape(height, width)
        )
    mixed = [cv2.addWeighted(fields[0], deviation * 0.8, f, deviation * 0.6, 0) for f in fields[1:]]
    return cv2.merge(mixed).astype(np.float32, copy=False)
