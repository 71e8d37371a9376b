"""Water on the road, in the air (rain and fog) and on the windscreen. Light is linear."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from dashseg.training.augment.draws import Draws
from dashseg.training.augment.maps import smear
from dashseg.training.augment.scene import CAMERA_HEIGHT, Role, Scene
from dashseg.training.augment.transfer import sent

_SKY_AWAY = 1000.0  # metres of air in front of the sky


def wet_road(light: Tensor, lamps: Tensor | None, scene: Scene, wet: Tensor) -> Tensor:
    """Darken the road and make it mirror what is above it, smeared vertically.

    Args:
        light: (B, 3, H, W).
        lamps: (B, 3, h, w), mirrored too, or None.
        wet: (B,) 0 dry to 1 soaking.
    """
    road = (scene.role == Role.ROAD) | (scene.role == Role.PAINT)
    height = road.shape[1]
    row = torch.arange(height, device=light.device).view(1, -1, 1)
    edge = torch.where(road, 0, row).cummax(1).values  # the last row above that is not road
    source = (2 * edge - row).clamp_min(0).unsqueeze(1).expand(-1, 3, -1, -1)
    seen = scene.shrink(light)
    mirrored = (seen if lamps is None else seen + lamps).gather(2, source)
    radius = max(1, height // 40)
    mirrored = smear(mirrored, radius, 3)  # ripples smear along the line of sight
    # Schlick's approximation of the reflectance of water, at the camera's angle to the road.
    grazing = CAMERA_HEIGHT / (CAMERA_HEIGHT**2 + scene.depth**2).sqrt()
    share = (0.02 + 0.98 * (1 - grazing) ** 5) * 0.55  # rough asphalt scatters the rest
    wet = wet.view(-1, 1, 1) * road  # (B, h, w)
    kept = scene.enlarge((1 - wet * (0.35 + 0.5 * share)).unsqueeze(1))
    return light * kept + scene.enlarge(mirrored * (wet * share).unsqueeze(1))


def through_air(light: Tensor, scene: Scene, haze: Tensor, air: Tensor) -> Tensor:
    """Fade light into the air's colour with distance.

    Args:
        light: (B, 3, H, W).
        haze: (B,) share of contrast lost per metre.
        air: (B, 3), the air's colour.
    """
    haze = haze.view(-1, 1, 1, 1)
    clear = scene.enlarge((-haze * scene.depth.unsqueeze(1)).exp())
    cabin = scene.enlarge((scene.role == Role.CABIN).float().unsqueeze(1))
    clear = torch.maximum(clear, cabin)  # the own bonnet is close
    clear = clear.lerp((-haze * _SKY_AWAY).exp(), scene.sky.unsqueeze(1))
    return air.view(-1, 3, 1, 1).lerp(light, clear)


def drops_on_glass(light: Tensor, scene: Scene, most: int, draws: Draws) -> Tensor:
    """Add blurred drops on the windscreen, and faint streaks of falling rain.

    Args:
        light: (B, 3, H, W).
        most: each frame has 0 to this many drops.
    """
    device = light.device
    height, width = scene.size
    if most > 0:
        number = draws.uniform(0, most).view(-1, 1)
        u, v = (draws.uniform(0, 1, most) for _ in range(2))
        radius = draws.log_uniform(0.004, 0.014, most)
        present = (torch.arange(most) < number).float()
        present, u, v, radius = (sent(values, device) for values in (present, u, v, radius))
        down = (scene.below + scene.horizon.view(-1, 1, 1)).transpose(1, 2)
        dv = (down - v.unsqueeze(2)) / radius.unsqueeze(2)  # (B, drops, h)
        du = (scene.across - u.unsqueeze(2)) * (width / height) / radius.unsqueeze(2)
        rows = (-0.5 * dv**2).exp() * present.unsqueeze(2)
        field = rows.transpose(1, 2) @ (-0.5 * du**2).exp()  # (B, h, w)
        drop = ((scene.enlarge(field.unsqueeze(1)) - 0.5) * 8).sigmoid()
        # A drop shows the whole scene, small and upside down: nearly the scene's mean.
        seen = scene.enlarge(F.adaptive_avg_pool2d(light, (8, 10)))
        light = light.lerp(1.1 * seen, 0.85 * drop)
    chance = draws.normal((1, *scene.role.shape[1:]), device)
    length = max(3, scene.role.shape[1] // 14) | 1
    streaks = smear((chance > 3.1).float(), length // 2, 2)
    faint = light.mean((1, 2, 3), keepdim=True) * 2
    return light + scene.enlarge(streaks) * faint
