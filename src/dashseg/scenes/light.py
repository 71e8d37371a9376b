"""Hour and weather: which light falls on things, and what the air between does to it.

All colours are linear; 1.0 is a white surface in full daylight. The exposure that follows in
`finish` brings night and noon to about the same brightness, as a camera's does, though not quite.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dashseg.scenes.camera import Float32s, Floats
from dashseg.scenes.canvas import Colour, colour

# How often each kind of light occurs. comma10k is mostly day, with about one frame in six dark.
KINDS = {
    "clear": 0.26,
    "cloudy": 0.17,
    "low sun": 0.11,
    "overcast": 0.15,
    "rain": 0.09,
    "fog": 0.05,
    "dusk": 0.08,
    "night": 0.09,
}


@dataclass(frozen=True)
class Light:
    """What lights the scene. `haze` is the share of contrast lost per metre of air."""

    kind: str
    sun_direction: Floats  # unit vector towards the sun, x right, y up, z forward
    sun: Floats  # direct light on a surface that faces the sun
    sky: Floats  # light from the whole sky on a level surface
    zenith: Floats
    horizon: Floats
    clouds: float  # cover, 0..1
    haze: float
    headlights: float
    lamps_lit: bool
    wet: float  # 0 dry .. 1 soaking
    exposure: float
    tint: Floats  # white balance of the camera
    noise: float  # deviation in grey levels
    softness: float  # blur's deviation in pixels at a width of 1164

    @property
    def dark(self) -> bool:
        return self.headlights > 0.3

    def clearness(self, z: ArrayLike) -> Floats:
        """The share of contrast that is left over a distance of z metres."""
        depth = np.asarray(z) * self.haze
        return 1.0 / (1.0 + depth + 0.5 * depth**2)

    def beam(self, x: ArrayLike, z: ArrayLike) -> Floats | Float32s:
        """Light of the car's own headlamps at world x, z; 1.0 is daylight."""
        x, z = np.asarray(x), np.asarray(z)
        if not self.headlights:
            return np.zeros(np.broadcast_shapes(x.shape, z.shape))
        spread = 1.0 / (1.0 + np.square(np.square(x / (1.6 + 0.22 * z))))  # ** 4 is slow
        reach = 1.0 / (1.0 + (z / 22.0) ** 2)  # low beam: half its light at 22 m
        return self.headlights * spread * reach * (z / (z + 4.0))

    def on_faces(self, normals: Floats) -> Floats:
        """Light (N, 3) that falls on faces with unit normals (N, 3)."""
        direct = np.clip(normals @ self.sun_direction, 0.0, None)[:, None] * self.sun
        bounced = self.sun * max(0.0, self.sun_direction[1]) * 0.1  # sunlight off the ground
        return direct + bounced + self.sky * (0.62 + 0.38 * normals[:, 1:2])

    @property
    def level(self) -> Floats:
        """Light on level ground in the open."""
        return self.sky + self.sun * max(0.0, self.sun_direction[1])

    def through_air(self, radiance: Colour | Floats, z: ArrayLike) -> Floats:
        """Radiance (..., 3) as seen over a distance z that broadcasts with (..., 1)."""
        clear = self.clearness(z)
        return np.asarray(radiance) * clear + self.horizon * (1.0 - clear)

    def shade(self, surface: Colour, z: float, x: float = 0.0, facing: float = 0.7) -> Floats:
        """What a matt surface at (x, z) looks like; facing: its share of the open's light."""
        light = self.level * facing + np.array([1.0, 0.93, 0.8]) * self.beam(x, z) * 0.6
        return self.through_air(np.asarray(surface) * light, z)


def sample_light(rng: np.random.Generator) -> Light:
    """Draw an hour and a weather."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    azimuth = rng.uniform(-np.pi, np.pi)
    elevation = rng.uniform(0.5, 1.2)
    strength, fill = rng.uniform(0.65, 0.9), rng.uniform(0.24, 0.36)
    sun, sky = colour("fff2dc") * strength, colour("c8dcff") * fill
    zenith = colour("2f5f9f") * rng.uniform(0.6, 1.3)
    horizon = colour("a9c4dc") * rng.uniform(0.7, 1.1)
    clouds, haze, headlights, wet = rng.uniform(0.0, 0.25), rng.uniform(2e-4, 9e-4), 0.0, 0.0
    exposure = rng.uniform(0.5, 1.15)
    noise, softness = rng.uniform(0.5, 1.3), rng.uniform(0.5, 0.9)
    lamps_lit = False

    if kind == "cloudy":
        clouds = rng.uniform(0.4, 0.7)
    elif kind == "low sun":
        azimuth, elevation = rng.uniform(-0.55, 0.55), rng.uniform(0.06, 0.3)
        sun = colour("ffd9a0") * strength
        zenith, horizon = zenith * 0.7, colour("e8c79c") * rng.uniform(0.6, 1.0)
        clouds, haze = rng.uniform(0.0, 0.5), rng.uniform(6e-4, 1.8e-3)
        exposure *= 0.9
    elif kind in ("overcast", "rain", "fog"):
        grey = colour("c3c9d0") * rng.uniform(0.5, 0.9)
        sun, sky = colour("ffffff") * 0.04, colour("d8e2f0") * rng.uniform(0.45, 0.75)
        zenith, horizon, clouds = grey * rng.uniform(0.55, 0.85), grey, 1.0
        haze = rng.uniform(6e-4, 2e-3)
        if kind == "rain":
            sky, zenith, horizon = sky * 0.7, zenith * 0.7, horizon * 0.75
            wet, haze, exposure = rng.uniform(0.5, 1.0), rng.uniform(1.5e-3, 4e-3), exposure * 1.2
            lamps_lit = True
        if kind == "fog":
            haze, lamps_lit = rng.uniform(5e-3, 1.3e-2), bool(rng.random() < 0.5)
    elif kind == "dusk":
        elevation = 0.02
        glow = colour(str(rng.choice(["e0905c", "c87c86", "b9a2a8", "d8a870"])))
        sun, sky = glow * 0.05, colour("9fb4e8") * rng.uniform(0.14, 0.24)
        zenith, horizon = colour("2c4a80") * rng.uniform(0.3, 0.7), glow * rng.uniform(0.3, 0.6)
        clouds, headlights, lamps_lit = rng.uniform(0.1, 0.6), rng.uniform(0.05, 0.2), True
        exposure, noise = rng.uniform(1.2, 2.2), rng.uniform(1.2, 2.4)
    elif kind == "night":
        elevation = 0.5
        city = colour(str(rng.choice(["50484a", "6a5648", "3c4460"])))
        sun, sky = colour("8090c0") * 0.004, city * rng.uniform(0.25, 0.5)
        zenith, horizon = colour("0c1020"), city * rng.uniform(0.15, 0.4)
        clouds, headlights, lamps_lit = rng.uniform(0.0, 0.8), rng.uniform(0.8, 1.5), True
        wet = rng.uniform(0.4, 0.9) if rng.random() < 0.25 else 0.0
        exposure, noise = rng.uniform(1.2, 2.0), rng.uniform(2.0, 4.0)
        softness = rng.uniform(0.7, 1.2)

    direction = np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )
    # The cameras of comma10k lean to the blue.
    tint = np.array([rng.uniform(0.8, 1.0), 0.93, rng.uniform(0.92, 1.15)])
    return Light(
        kind=kind,
        sun_direction=direction,
        sun=sun,
        sky=sky,
        zenith=zenith,
        horizon=horizon,
        clouds=clouds,
        haze=haze,
        headlights=headlights,
        lamps_lit=lamps_lit,
        wet=wet,
        exposure=exposure,
        tint=tint,
        noise=noise,
        softness=softness,
    )
