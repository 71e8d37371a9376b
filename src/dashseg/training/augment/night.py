"""Day -> dusk or night: headlamps, street lamps and the night sky replace daylight.

Light is linear; 1.0 is white in the image. Reflectance is a day frame divided by the brightness of
its road. The label tells where lamps belong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dashseg.config import NightConfig
from dashseg.training.augment.draws import Draws
from dashseg.training.augment.lamps import (
    Colour,
    between,
    city_lights,
    street_lamps,
    vehicle_lamps,
)
from dashseg.training.augment.scene import Role, Scene
from dashseg.training.augment.transfer import constant, sent

ASPHALT = 0.11  # reflectance; 0.10-0.15 for worn asphalt

_HALOGEN: Colour = (1.0, 0.86, 0.62)
_LED: Colour = (0.9, 0.98, 1.0)
# The sky at the horizon and overhead.
_AFTERGLOW: tuple[Colour, ...] = ((1.0, 0.62, 0.38), (0.85, 0.75, 0.9), (0.7, 0.82, 1.0))
_DUSK_ZENITH: Colour = (0.2, 0.38, 0.85)
_CITY: Colour = (1.0, 0.75, 0.55)
_NIGHT_ZENITH: Colour = (0.35, 0.42, 0.7)


@dataclass(frozen=True)
class Night:
    """Night frames in parts, because fog dims lamps less than surfaces."""

    light: Tensor  # (B, 3, H, W) of surfaces and sky
    lamps: Tensor  # (B, 3, h, w)
    air: Tensor  # (B, 3) colour of thick fog
    darkness: Tensor  # (B,) 0 dusk to 1 night


def make_night(
    light: Tensor, scene: Scene, config: NightConfig, fog: Tensor, draws: Draws
) -> Night:
    """Remove the daylight from frames and add lamps.

    Args:
        light: (B, 3, H, W) linear RGB of day frames.
        scene: of these frames.
        fog: (B,) share of contrast lost per metre; it brightens halos.
    """
    count, device = len(light), light.device

    def draw(low: float, high: float) -> Tensor:  # (B, 1, 1, 1)
        return sent(draws.uniform(low, high), device).view(-1, 1, 1, 1)

    darkness = draw(*config.darkness)
    beam = _beam(scene).unsqueeze(1) * draw(*config.headlights) * darkness.sqrt()
    headlamp = between(_HALOGEN, _LED, draw(0, 1))
    switched_on = (3 * darkness).clamp_max(1)
    street, posts, lamps = street_lamps(scene, config.street_lamps, fog, draws)
    lamps = lamps + vehicle_lamps(scene, config.vehicle_lamps, draws)
    lamps = lamps + city_lights(scene, draws) * darkness

    ambient = _fading(0.5, 0.02, darkness)
    ambient = ambient * between((0.8, 0.92, 1.15), (1.05, 0.95, 0.9), darkness)
    paint = (scene.role == Role.PAINT).unsqueeze(1)
    shine = beam * headlamp * (1 + 1.5 * paint) + street * switched_on + ambient  # (B, 3, h, w)

    sky = _sky(scene, light, darkness, draws)
    reflectance = light * (ASPHALT / scene.exposure).view(-1, 1, 1, 1)
    reflectance.lerp_(reflectance.mean(1, keepdim=True), 0.5 * darkness)  # colours fade
    reflectance.clamp_max_(0.45)  # of white paint; brighter surfaces reflect the day's sky
    dark = reflectance.mul_(scene.enlarge(shine)).lerp_(sky, scene.sky.unsqueeze(1))
    dark *= scene.enlarge(1 - posts)
    air = (0.15 * ambient + 0.02 * darkness).view(count, 3)
    return Night(dark, lamps * switched_on, air, darkness.view(-1))


def _fading(dusk: float, night: float, darkness: Tensor) -> Tensor:
    """Interpolate from `dusk` (darkness 0) to `night` (darkness 1) logarithmically."""
    return (math.log(dusk) + math.log(night / dusk) * darkness).exp()


def _beam(scene: Scene) -> Tensor:
    """(B, h, w) light of the own low beam, where 1.0 is daylight; 0 on the own car."""
    z, x = scene.depth, scene.sideways
    spread = 1 / (1 + (x / (1.6 + 0.22 * z)) ** 4)
    reach = 2.5 / (1 + (z / 14) ** 2)  # a half at 14 m, a tenth at 42 m
    near = (z / (z + 3)) ** 2  # the bonnet shades the first metres
    # Low beams end just below the horizon; above it there is only stray light.
    upper = 0.05 + 0.95 * ((scene.below + 0.015) / 0.01).sigmoid()
    upright = (scene.role != Role.ROAD) & (scene.role != Role.PAINT)
    facing = 1 + upright * (z / 20).clamp_max(1.5)  # the road is lit at a grazing angle
    beyond = F.avg_pool2d((scene.role != Role.CABIN).float().unsqueeze(1), 3, 1, 1).squeeze(1)
    return spread * reach * near * upper * facing * beyond


def _sky(scene: Scene, day: Tensor, darkness: Tensor, draws: Draws) -> Tensor:
    """(B, 3, H, W) the dusk or night sky with the day's clouds."""
    device = day.device
    which = draws.integers(0, len(_AFTERGLOW))
    afterglow = sent(torch.tensor(_AFTERGLOW)[which], device).view(-1, 3, 1, 1)
    level = sent(draws.uniform(0.6, 1.5), device).view(-1, 1, 1, 1)
    city = constant(_CITY, device).view(1, 3, 1, 1)
    low = afterglow.lerp(city, darkness) * _fading(0.8, 0.012, darkness) * level
    high = between(_DUSK_ZENITH, _NIGHT_ZENITH, darkness) * _fading(0.5, 0.0025, darkness) * level
    up = (-scene.below / scene.horizon.view(-1, 1, 1)).clamp(0, 1).unsqueeze(1)  # (B, 1, h, 1)
    clear = low.lerp(high, up.sqrt())
    # Clouds are the ratio of the day's sky to its mean; at night they are lit from below.
    clouds = scene.shrink(day.mean(1, keepdim=True))
    mean = clouds.mean((2, 3), keepdim=True).clamp_min(1e-3)
    return scene.enlarge(clear * (0.75 + 0.25 * (clouds / mean).clamp_max(2)))
