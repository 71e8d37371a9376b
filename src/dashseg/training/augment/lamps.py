"""The lamps of a night scene: street lamps, vehicle lamps, city lights, and their halos.

Light is linear and added to the image; 1.0 is white. All maps are (B, 3, h, w), at the size of
`Scene`'s maps.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from dashseg.training.augment.draws import Draws
from dashseg.training.augment.maps import enlarge, smear
from dashseg.training.augment.scene import CAMERA_HEIGHT, FOCAL, Role, Scene
from dashseg.training.augment.transfer import constant, sent

Colour = tuple[float, float, float]

# Linear RGB of lamps.
SODIUM: Colour = (1.0, 0.5, 0.14)
WHITE: Colour = (0.92, 0.97, 1.0)
_RED: Colour = (1.0, 0.05, 0.03)
_AMBER: Colour = (1.0, 0.6, 0.25)

_PER_SIDE = 6  # street lamps; the seventh, 200 m away or more, is as small as a city light
_CITY_LIGHTS = 16
# A halo is a sum of Gaussians (deviation in radii of the lamp, peak), near to an inverse square. A
# Gaussian is the product of a row and a column, which is cheap.
_HALO = ((1.0, 5.0), (3.0, 0.5), (9.0, 0.08), (27.0, 0.015))


def between(one: Colour, other: Colour, share: Tensor) -> Tensor:
    """(B, 3, 1, 1): interpolate two colours by `share`, which has one element per frame."""
    first, second = (constant(c, share.device).view(1, 3, 1, 1) for c in (one, other))
    return first.lerp(second, share.view(-1, 1, 1, 1))


def street_lamps(
    scene: Scene, share: float, fog: Tensor, draws: Draws
) -> tuple[Tensor, Tensor, Tensor]:
    """Two rows of lamps along the road.

    Args:
        share: of frames whose street is lit.
        fog: (B,) share of contrast lost per metre.

    Returns:
        The light (B, 3, h, w) on the surfaces below, where 1.0 is daylight; the posts (B, 1, h, w),
        1 where a post is opaque; the lamps (B, 3, h, w).
    """
    device = fog.device
    lit = draws.uniform(0, 1) < share
    ranges = ((6, 11), (25, 50), (8, 40), (4.5, 10))  # metres
    tall, gap, first, aside = (draws.uniform(low, high).view(-1, 1) for low, high in ranges)
    sides = draws.uniform(0, 1, 2) < 0.7
    power = draws.log_uniform(0.5, 1.6) * lit
    mostly_sodium = draws.uniform(0, 1) ** 2

    steps = torch.arange(_PER_SIDE).float()
    # Staggered, as along wide roads; (B, L), L = 2 sides × lamps.
    z = torch.cat([first + steps * gap, first + (steps + 0.5) * gap], 1)
    x = torch.cat([-aside.expand(-1, _PER_SIDE), aside.expand(-1, _PER_SIDE)], 1)
    on = power.view(-1, 1) * sides.repeat_interleave(_PER_SIDE, 1)
    tone = between(SODIUM, WHITE, mostly_sodium)
    z, x, on, tall, tone = (sent(values, device) for values in (z, x, on, tall, tone))

    light = _pools(scene, x, z, tall, on)
    height, width = scene.size
    u = scene.ahead.view(-1, 1) + x * FOCAL * height / width / z
    v = scene.horizon.view(-1, 1) - (tall - CAMERA_HEIGHT) * FOCAL / z
    radius = 0.2 * FOCAL / z
    through = (-0.5 * fog.view(-1, 1) * z).exp()  # half the fog: lamps shine through it
    lamps = _halos(scene, u, v, radius, on * through, fog)
    return light * tone, _posts(scene, u, v, z, (on > 0) * through), lamps * tone


def _pools(scene: Scene, x: Tensor, z: Tensor, tall: Tensor, on: Tensor) -> Tensor:
    """(B, 1, h, w) light below lamps at (B, L) metres: inverse square law and cosine law."""
    depth, sideways, height = (  # every second pixel, because the light is smooth
        values[:, ::2, ::2].unsqueeze(1) for values in (scene.depth, scene.sideways, scene.height)
    )
    x, z, on, tall = (values.unsqueeze(-1).unsqueeze(-1) for values in (x, z, on, tall))
    over = (tall - height).clamp_min(1.0)
    distance = (sideways - x) ** 2 + (depth - z) ** 2 + over**2  # (B, L, h/2, w/2)
    light = (on * tall**2 * over * distance**-1.5).sum(1, keepdim=True) / tall
    return enlarge(0.12 * light, (scene.role.shape[1], scene.role.shape[2]))


def _posts(scene: Scene, u: Tensor, v: Tensor, z: Tensor, seen: Tensor) -> Tensor:
    """(B, 1, h, w) posts from lamps at (B, L) places to the ground, each with an arm."""
    height, width = scene.size
    metre = FOCAL / z.unsqueeze(2)  # (B, L, 1) of the frame's height, at the lamp
    thick = (0.09 * metre).clamp_min(0.5 * scene.step / height)
    faint = (0.09 * metre / thick).clamp(0.3, 1) * seen.unsqueeze(2)
    arm = 2.0 * (u.unsqueeze(2) - scene.ahead.view(-1, 1, 1)).sign() * metre
    aside = (scene.across - u.unsqueeze(2)) * (width / height)  # (B, L, w) from the lamp
    down = (scene.below + scene.horizon.view(-1, 1, 1)).transpose(1, 2) - v.unsqueeze(2)
    long = scene.horizon.view(-1, 1, 1) - v.unsqueeze(2) + CAMERA_HEIGHT * metre
    upright = ((down > 0) & (down < long)).float() * faint  # (B, L, h)
    level = (down.abs() < thick / 2).float() * faint
    beside = ((aside - arm).abs() < thick).float()  # (B, L, w)
    along = ((aside * arm.sign() > 0) & (aside.abs() < arm.abs())).float()
    drawn = upright.transpose(1, 2) @ beside + level.transpose(1, 2) @ along
    return (drawn.clamp_max(1) * (scene.role == Role.OTHER)).unsqueeze(1)


def _halos(scene: Scene, u: Tensor, v: Tensor, radius: Tensor, on: Tensor, fog: Tensor) -> Tensor:
    """(B, 1, h, w) of round lamps at (B, L) places, radii in frame heights.

    Vehicles and the own car hide a lamp's core, but not its halo, which arises in the lens.
    """
    height, width = scene.size
    smallest = 0.6 * scene.step / height  # a lamp of less than a pixel is dimmer, not smaller
    dim = (radius / smallest).clamp(0.3, 1) * on
    radius = radius.clamp_min(smallest)
    down = (scene.below + scene.horizon.view(-1, 1, 1)).transpose(1, 2)  # (B, 1, h)
    dv = (down - v.unsqueeze(2)) / radius.unsqueeze(2)  # (B, L, h)
    du = (scene.across - u.unsqueeze(2)) * (width / height) / radius.unsqueeze(2)  # (B, L, w)
    open_air = ((scene.role == Role.OTHER) | (scene.role == Role.SKY)).unsqueeze(1)
    total = torch.zeros_like(scene.depth).unsqueeze(1)
    for spread, peak in _HALO:
        rows = (-0.5 * (dv / spread) ** 2).exp() * (dim * peak).unsqueeze(2)
        columns = (-0.5 * (du / spread) ** 2).exp()
        layer = (rows.transpose(1, 2) @ columns).unsqueeze(1)  # (B, 1, h, w)
        if spread == 1:
            layer = layer * open_air
        elif spread > 3:
            layer = layer * (1 + 60 * fog.view(-1, 1, 1, 1))
        total = total + layer
    return total


def city_lights(scene: Scene, draws: Draws) -> Tensor:
    """(B, 3, h, w) small lights beside the road's far end: windows, signs, distant lamps."""
    count = len(scene.depth)
    device = scene.depth.device
    offset = draws.uniform(-1, 1, _CITY_LIGHTS)
    rise = draws.uniform(0, 1, _CITY_LIGHTS) ** 2
    power = draws.uniform(0, 1, _CITY_LIGHTS) ** 3
    many = draws.uniform(0, 1).view(-1, 1)
    u = scene.ahead.view(-1, 1) + sent(offset.sign() * (0.02 + 0.45 * offset**2), device)
    v = scene.horizon.view(-1, 1) - sent(0.004 + 0.06 * rise, device)
    radius = torch.full_like(u, 0.0012)
    still = torch.zeros(count, device=device)
    lights = torch.zeros_like(scene.depth).unsqueeze(1).expand(-1, 3, -1, -1)
    for part, colour in enumerate((_AMBER, WHITE, SODIUM)):
        own = (torch.arange(_CITY_LIGHTS) % 3 == part) * power * many * 2
        layer = _halos(scene, u, v, radius, sent(own, device), still)
        lights = lights + layer * constant(colour, device).view(1, 3, 1, 1)
    return lights


def vehicle_lamps(scene: Scene, share: float, draws: Draws) -> Tensor:
    """(B, 3, h, w) red or white lamps at both sides of each vehicle.

    A vehicle is a run of vehicle pixels along a row. Its lamps are above its lower edge by about
    half its width. Vehicles on one side of the road ahead are oncoming and have white lamps.

    Args:
        share: of vehicles whose lamps are on.
    """
    device = scene.depth.device
    side = sent(torch.where(draws.uniform(0, 1) < 0.7, -1.0, 1.0), device).view(-1, 1, 1)
    margin = sent(draws.uniform(0.08, 0.25), device).view(-1, 1, 1)
    table = sent(draws.uniform(0, 1, 16), device)
    power = sent(draws.log_uniform(0.7, 1.8), device).view(-1, 1, 1, 1)

    vehicle = scene.role == Role.VEHICLE
    left, right = _run(vehicle, 2)  # (B, h, w) pixels to the run's ends
    above, under = _run(vehicle, 1)
    wide = left + right + 1
    centre = scene.across + (right - left) * (scene.step / 2 / scene.size[1])  # u of the run
    end = torch.minimum(left, right) / wide
    # Round spots, 0.07 of the width from its ends and 0.45 of it above its lower edge.
    lamp = (-(((end - 0.07) / 0.035) ** 2) - ((under / wide - 0.45) / 0.035) ** 2).exp()
    # No lamps on people (too tall), on rows or side views of vehicles (too wide: `metres` is high),
    # or on vehicles cut by the frame's edge, whose width is unknown.
    columns = torch.arange(lamp.shape[2], device=device)
    whole = (columns - left > 0) & (columns + right < lamp.shape[2] - 1)
    upright = (above + under + 1) / wide
    metres = under * scene.depth * (scene.step / scene.size[0] / FOCAL)  # above the lower edge
    fitting = (upright < 1.7) & (metres > 0.4) & (metres < 1.3)
    which = (centre * 16).long().clamp(0, 15).flatten(1)
    lit = table.gather(1, which).view_as(centre) < share
    on = (lamp * (vehicle & whole & lit & fitting)).unsqueeze(1)
    aside = torch.minimum((centre - scene.ahead.view(-1, 1, 1)) * side, (centre - 0.5) * side)
    oncoming = aside > margin
    red, white = (constant(colour, device).view(1, 3, 1, 1) for colour in (_RED, WHITE))
    glow = on * torch.where(oncoming.unsqueeze(1), 8 * white, 1.2 * red) * power  # (B, 3, h, w)
    return glow + _bloom(glow)


def _run(mask: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The number of pixels before and after each pixel in its run of `mask` along `dim`, float."""
    index = torch.arange(mask.shape[dim], device=mask.device)
    index = index.view(1, -1, 1) if dim == 1 else index.view(1, 1, -1)

    def since(mask: Tensor) -> Tensor:  # pixels since the last one outside `mask`
        return index - 1 - torch.where(mask, -1, index).cummax(dim).values

    return since(mask).float(), since(mask.flip(dim)).flip(dim).float()


def _bloom(lamps: Tensor) -> Tensor:
    """Light that lens and windscreen scatter around lamps: two blurs at a quarter of the size."""
    small = F.avg_pool2d(lamps, 4, ceil_mode=True)
    tight = _blur(small, 1, 2)
    wide = _blur(tight, 4, 4)
    halo = 0.5 * tight + 0.5 * wide
    return enlarge(halo, (lamps.shape[-2], lamps.shape[-1]))


def _blur(image: Tensor, radius: int, times: int) -> Tensor:
    """Mean over squares of 2·radius + 1 pixels, repeated `times`."""
    return smear(smear(image, radius, times), radius, times, rows=False)
