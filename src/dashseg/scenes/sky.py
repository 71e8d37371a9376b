"""What lies behind everything: sky, clouds and far hills, painted on the upper part of a canvas."""

import cv2
import numpy as np

from dashseg.scenes.camera import Camera, Float32s
from dashseg.scenes.canvas import Canvas, colour
from dashseg.scenes.light import Light
from dashseg.scenes.textures import noise_tile, sample, wander

FAR_HILLS = 2500.0  # m


def paint_sky(canvas: Canvas, camera: Camera, light: Light, rng: np.random.Generator) -> None:
    """Fill the canvas down to the horizon, and the rows below with the horizon's own colour."""
    rows = max(2, min(camera.height, int(camera.horizon_v) + 2))
    # The sky is smooth: worked out at half the resolution.
    half = (-(-rows // 2), -(-camera.width // 2))
    v = (np.arange(half[0], dtype=np.float32) + 0.5) * (rows / half[0])
    u = (np.arange(half[1], dtype=np.float32) + 0.5) * (camera.width / half[1])
    up = (np.maximum(camera.horizon_v - v, 0.0) / camera.focal)[:, None].astype(np.float32)
    across = ((u - camera.centre_u) / camera.focal)[None, :].astype(np.float32)

    share = (up / (up + 0.16))[..., None]  # `up` is the tangent of the elevation
    sky = light.horizon * (1.0 - share) + light.zenith * share  # (rows / 2, 1, 3)
    sky = np.broadcast_to(sky, (*half, 3)).astype(np.float32)
    if light.kind in ("low sun", "clear", "cloudy", "dusk"):
        sky += _sun_glow(light, up, across)
    if light.clouds > 0.02:
        cover = _cloud_cover(light, up, across, rng)
        bright = (light.sun * 0.9 + light.sky * 1.6) * (0.85 if light.kind == "night" else 1.0)
        if light.clouds >= 1.0:  # a closed cover: brighter and darker patches only
            sky *= (1.0 + 0.16 * (cover - 0.5))[..., None]
        else:
            body = 1.12 - 0.5 * np.clip(cover - 0.3, 0.0, 1.0)  # thick clouds are grey inside
            mix = cover * np.clip(up * 14.0, 0.0, 1.0) * np.float32(0.92)
            for channel in range(3):
                sky[..., channel] += mix * (body * np.float32(bright[channel]) - sky[..., channel])
    canvas.rgb[:rows] = cv2.resize(sky, (camera.width, rows), interpolation=cv2.INTER_LINEAR)
    canvas.rgb[rows:] = light.horizon


def _sun_glow(light: Light, up: Float32s, across: Float32s) -> Float32s:
    """Brightness around the sun, (rows, W, 3); nothing when it stands behind the camera."""
    sx, sy, sz = light.sun_direction
    length = np.sqrt(1.0 + up**2 + across**2)
    towards = (across * sx + up * sy + sz) / length
    away = np.clip(1.0 - towards, 0.0, None).astype(np.float32)
    glow = 0.0022 / (away + 0.0012) + 0.05 / (away + 0.12)
    tone = light.sun if light.kind != "dusk" else light.horizon * 0.6
    return glow[..., None] * tone.astype(np.float32) * np.float32(0.5)


def _cloud_cover(
    light: Light, up: Float32s, across: Float32s, rng: np.random.Generator
) -> Float32s:
    """Clouds on a level sheet seen in perspective, 0..1, (rows, W)."""
    sheet = 60.0 / (up + 0.06)  # tile pixels to where the line of sight meets the sheet
    drift = rng.uniform(0, 512, 2)
    stretch = rng.uniform(0.5, 1.6)
    x = (across * sheet * stretch + drift[0]).astype(np.float32)
    y = (sheet + drift[1]).astype(np.float32)
    field = sample(noise_tile(11, 4, 6, 0.6), x, np.broadcast_to(y, x.shape).astype(np.float32))
    threshold = 1.3 - 2.2 * light.clouds if light.clouds < 1.0 else 0.0
    width = rng.uniform(1.0, 2.4) if light.clouds < 1.0 else 3.0
    cover = np.clip((field - threshold) / width + 0.5 * (light.clouds >= 1.0), 0.0, 1.0)
    return (cover * cover * (3.0 - 2.0 * cover)).astype(np.float32)


def paint_hills(canvas: Canvas, camera: Camera, light: Light, rng: np.random.Generator) -> None:
    """Ridges of hills or mountains, the farther ones paler."""
    count = int(rng.integers(0, 4))
    dry = rng.random() < 0.5
    u = np.arange(camera.width) + 0.5
    angle = (u - camera.centre_u) / camera.focal
    for layer in range(count):
        z = FAR_HILLS * (count - layer) * rng.uniform(0.7, 1.3)
        rise = rng.uniform(0.015, 0.11) / (1.0 + 0.5 * layer)
        phase = rng.uniform(0, 50)
        ridge = rise * (0.45 + 0.55 * wander(rng, angle + phase, rng.uniform(0.25, 0.7), 6))
        top = camera.horizon_v - camera.focal * ridge  # (W,)
        first = max(0, int(top.min()) - 1)
        last = min(camera.height, int(camera.horizon_v) + 3)
        if last <= first:
            continue
        v = np.arange(first, last)[:, None] + 0.5
        cover = np.clip(v - top[None, :] + 0.5, 0.0, 1.0).astype(np.float32)[..., None]
        green = colour("5a6142") if not dry else colour("8f7d5a")
        bumps = sample(
            noise_tile(12, 8, 5),
            (angle[None, :] * 900 + phase * 10).astype(np.float32),
            ((v - top[None, :]) / camera.focal * 1500).astype(np.float32),
        )
        face = (1.0 + 0.22 * bumps)[..., None] * green.astype(np.float32)
        body = light.through_air(face * light.level * 0.7, min(z, 2.2 / light.haze) * 0.7)
        window = canvas.rgb[first:last]
        window += cover * (body.astype(np.float32) - window)


def paint_tree_line(canvas: Canvas, camera: Camera, light: Light, rng: np.random.Generator) -> None:
    """A belt of woods along the horizon, open here and there."""
    if rng.random() < 0.2:
        return
    z = rng.uniform(280.0, 600.0)
    u = np.arange(camera.width) + 0.5
    place = (u - camera.centre_u) / camera.focal * z  # metres across
    crowns = 0.75 + 0.25 * wander(rng, place + 2000, 11.0, 5)
    stands = np.clip(0.75 + 0.9 * wander(rng, place + 3000, 130.0, 3), 0.12, 1.0)
    tall = rng.uniform(7.0, 17.0) * crowns * stands
    top = camera.horizon_v - camera.focal * (tall - camera.eye) / z
    first, last = max(0, int(top.min()) - 1), min(camera.height, int(camera.horizon_v) + 3)
    if last <= first:
        return
    v = np.arange(first, last)[:, None] + 0.5
    cover = np.clip(v - top + 0.5, 0.0, 1.0).astype(np.float32)[..., None]
    leaves = sample(
        noise_tile(13, 32, 4),
        (place * 9.0)[None, :].astype(np.float32) % 512,
        (v * (z / camera.focal) * 12.0).astype(np.float32),
    )
    green = colour(str(rng.choice(["46552f", "3c4a34", "5d5a3a"]))) * rng.uniform(0.6, 1.0)
    lit = (light.level * 0.55 * green).astype(np.float32)
    body = light.through_air(np.clip(1.0 + 0.35 * leaves, 0.2, 2.0)[..., None] * lit, z)
    window = canvas.rgb[first:last]
    window += cover * (body.astype(np.float32) - window)
