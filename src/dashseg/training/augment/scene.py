"""Image and label -> an estimate of the scene's geometry: horizon, distances, sky.

It assumes comma's camera: 1.22 m above a flat road, focal length 1.04 times the frame's height (910
of 874 pixels). Other dash cameras differ from it less than real roads differ from a flat one. Maps
are about 240 pixels wide, because light and air are smooth.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dashseg.data.partial import Groups
from dashseg.labels import Classes
from dashseg.training.augment.maps import enlarge, largest_along, shrink, smear
from dashseg.training.augment.transfer import constant

CAMERA_HEIGHT = 1.22  # metres
FOCAL = 1.04  # focal length in frame heights
FARTHEST = 250.0  # metres; at this distance, a metre of height is half a row
_ACROSS = 240  # approximate columns of the maps
_USUAL_HORIZON = 0.48  # of the frame's height, if no road is visible
_LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709, of linear R, G, B
_HORIZONS = (0.25, 0.62)  # limits; a road that ends elsewhere climbs, or ends at a wall


class Role(IntEnum):
    """How a class interacts with light."""

    OTHER = 0  # anything beside the road, and ignored pixels
    ROAD = 1
    PAINT = 2  # retroreflective
    VEHICLE = 3  # has lamps
    PERSON = 4
    CABIN = 5  # the own car, which its headlamps do not illuminate
    SKY = 6


# Class names of comma10k, CamVid and users. Other names are Role.OTHER.
_ROLES = {
    "road": Role.ROAD,
    "lane markings": Role.PAINT,
    "lane marking": Role.PAINT,
    "movable": Role.VEHICLE,
    "car": Role.VEHICLE,
    "vehicle": Role.VEHICLE,
    "truck": Role.VEHICLE,
    "bus": Role.VEHICLE,
    "pedestrian": Role.PERSON,
    "person": Role.PERSON,
    "bicyclist": Role.PERSON,
    "rider": Role.PERSON,
    "my car": Role.CABIN,
    "movable in my car": Role.CABIN,
    "sky": Role.SKY,
}


def role_table(classes: Classes, groups: Groups = ()) -> Tensor:
    """uint8 (256,): class id -> role, by the class's name; 255 -> OTHER.

    A merged label has the role that all its classes have, ROAD if they are road and paint, or else
    OTHER.
    """
    table = torch.zeros(256, dtype=torch.uint8)
    for class_id, name in enumerate(classes.names):
        table[class_id] = _ROLES.get(name.lower(), Role.OTHER)
    for label, members in enumerate(groups, len(classes)):
        roles = {Role(int(table[member])) for member in members}
        if roles == {Role.ROAD, Role.PAINT}:
            roles = {Role.ROAD}
        table[label] = roles.pop() if len(roles) == 1 else Role.OTHER
    return table


@dataclass(frozen=True)
class Scene:
    """The geometry of a batch. Maps (h, w) have `step` times fewer rows and columns than frames.

    Places are fractions of the frame: u from left to right in 0-1, v from top to bottom in 0-1.
    """

    step: int
    size: tuple[int, int]  # H, W of the frames
    role: Tensor  # uint8 (B, h, w)
    horizon: Tensor  # (B,) v
    ahead: Tensor  # (B,) u where the road meets the horizon
    below: Tensor  # (B, h, 1) v below the horizon
    across: Tensor  # (1, 1, w) u
    depth: Tensor  # (B, h, w) distance in metres; meaningless in the sky
    sideways: Tensor  # (B, h, w) metres to the right of the path ahead
    height: Tensor  # (B, h, w) metres above the road
    sky: Tensor  # (B, H, W) 0-1
    exposure: Tensor  # (B,) mean linear light of the road, the image of asphalt in daylight

    def enlarge(self, values: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, H, W), bilinear."""
        return enlarge(values, self.size)

    def shrink(self, values: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, h, w), by area."""
        return shrink(values, self.step)

    def of(self, frames: Tensor) -> Scene:
        """The scenes of some frames, by index."""
        chosen: dict[str, Any] = {
            field.name: value[frames]
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor) and field.name != "across"
        }
        return replace(self, **chosen)


def read_scene(light: Tensor, label: Tensor, roles: Tensor, labelled_sky: bool) -> Scene:
    """Estimate the geometry of a batch.

    Args:
        light: (B, 3, H, W) linear RGB in 0-1.
        label: int64 (B, H, W).
        roles: uint8 (256,), from `role_table`.
        labelled_sky: whether the sky is a class; if not, it is found by its colour.
    """
    size = light.shape[-2], light.shape[-1]
    step = max(1, round(size[1] / _ACROSS))
    small = shrink(light, step)  # (B, 3, h, w)
    rows, columns = (
        (torch.arange(n, device=light.device) * step + step // 2).clamp_max(end - 1)
        for n, end in zip(small.shape[-2:], size, strict=True)
    )
    role = roles[label[:, rows[:, None], columns]]  # (B, h, w)
    road = (role == Role.ROAD) | (role == Role.PAINT)
    down = (rows.view(1, -1, 1) + 0.5) / size[0]
    across = (columns.view(1, 1, -1) + 0.5) / size[1]

    horizon, ahead = _vanishing_point(road, down, across)
    below = down - horizon.view(-1, 1, 1)  # (B, h, 1)
    depth = _depth(role, road, below)
    bottom = 1 - horizon.view(-1, 1, 1)
    path = 0.5 + (ahead.view(-1, 1, 1) - 0.5) * (1 - below / bottom).clamp(0, 1)
    sideways = (across - path) * (size[1] / size[0] / FOCAL) * depth
    height = CAMERA_HEIGHT - below * depth / FOCAL
    exposure = _mean(_luma(small), road)
    if labelled_sky:
        sky = (roles[label] == Role.SKY).float()
    else:
        sky = _find_sky(light, small, role == Role.OTHER, horizon, exposure)
    return Scene(
        step, size, role, horizon, ahead, below, across, depth, sideways, height, sky, exposure
    )


def _luma(light: Tensor) -> Tensor:
    """Luminance: (B, 3, H, W) linear RGB -> (B, H, W)."""
    return torch.einsum("c,bchw->bhw", constant(_LUMA, light.device), light)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """(B,) means of `values` (B, h, w) over `where`; over the frame if `where` is nearly empty."""
    count = where.sum((1, 2))
    inside = (values * where).sum((1, 2)) / count.clamp_min(1)
    mean = torch.where(count > 0.01 * where[0].numel(), inside, values.mean((1, 2)))
    return mean.clamp_min(1e-3)  # for black frames


def _vanishing_point(road: Tensor, down: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) v of the horizon and (B,) u of the road's far end, from the road's pixels."""
    wide = road.float().mean(2) > 0.02  # (B, h) rows with more road than a few stray pixels
    down = down.view(1, -1)
    first = torch.where(wide, down, 1.0).amin(1)
    seen = wide.any(1)
    horizon = torch.where(seen, first - 0.015, _USUAL_HORIZON)  # the last 1.5 % are 100 m of road
    horizon = horizon.clamp(*_HORIZONS)
    far = road & (down < first.unsqueeze(1) + 0.04).unsqueeze(2)
    ahead = (far * across).sum((1, 2)) / far.sum((1, 2)).clamp_min(1)
    return horizon, torch.where(seen, ahead, 0.5).clamp(0.2, 0.8)


def _depth(role: Tensor, road: Tensor, below: Tensor) -> Tensor:
    """(B, h, w) metres. Things on the road are as far away as the road at their lower edge."""
    flat = (FOCAL * CAMERA_HEIGHT / below.clamp_min(FOCAL * CAMERA_HEIGHT / FARTHEST)).expand(
        role.shape
    )
    moves = (role == Role.VEHICLE) | (role == Role.PERSON)
    ground = road | (role == Role.CABIN)
    standing = _nearest_below(flat, ground)
    # Things beside the road are partly flat (grass, pavement), partly upright (walls, trees).
    beside = standing.log().lerp(flat.log(), 0.4)
    smooth = smear(F.pad(beside, (12, 12), mode="replicate"), 12, 1, rows=False)[..., 12:-12]
    return torch.where(ground, flat, torch.where(moves, standing, smooth.exp()))


def _nearest_below(values: Tensor, where: Tensor) -> Tensor:
    """(B, h, w): for each pixel, the value at the nearest pixel of `where` at or below it."""
    last = values.shape[1] - 1
    index = torch.arange(last, -1, -1, device=values.device).view(1, -1, 1)  # rows from the bottom
    found = torch.where(where, index, 0).flip(1).cummax(1).values.flip(1)
    return values.gather(1, last - found)


def _find_sky(
    light: Tensor, small: Tensor, other: Tensor, horizon: Tensor, exposure: Tensor
) -> Tensor:
    """(B, H, W) in 0-1: pixels that are bright or blue, and connected to the top by such pixels.

    Args:
        light: (B, 3, H, W).
        small: (B, 3, h, w), the same, smaller.
        other: bool (B, h, w), where the sky may be.
        horizon: (B,) as in `Scene`.
        exposure: (B,) as in `Scene`.
    """
    size = light.shape[-2], light.shape[-1]
    down = torch.arange(small.shape[2], device=light.device).view(1, -1, 1) / small.shape[2]
    may_be = (other & (down < horizon.view(-1, 1, 1) + 0.02)).float()
    like = _like_sky(small, exposure) * may_be
    # Wires and twigs do not separate the sky from the top edge.
    bridged = largest_along(like.unsqueeze(1), 3, 2)
    joined = bridged.cummin(2).values * may_be.unsqueeze(1)  # (B, 1, h, w)
    # The sky is smooth; a bright facade that touches it has windows.
    luma = _luma(small).unsqueeze(1)
    contrast = _largest_nearby(luma) + _largest_nearby(-luma)
    joined = _spread_along_rows(joined, (like.unsqueeze(1) > 0.5) & (contrast < 0.3 * luma))
    joined = _largest_nearby(joined) * may_be.unsqueeze(1)  # extend to the edges of other things
    # Some walls and treetops remain, but are darker or less blue than the sky at their height.
    weight = joined * like.unsqueeze(1)
    rows = (small * weight).sum(3, keepdim=True), weight.sum(3, keepdim=True)  # (B, 3 or 1, h, 1)
    reach = max(1, small.shape[2] // 12)
    # All the sky above counts too, by half: a wall must not be compared with itself alone.
    number = torch.arange(1, small.shape[2] + 1, device=light.device).view(1, 1, -1, 1)
    colour, share = (
        F.avg_pool2d(r, (2 * reach + 1, 1), 1, (reach, 0)) + 0.5 * r.cumsum(2) / number
        for r in rows
    )
    reference = enlarge(colour / (share + 1e-4), (size[0], 1))
    joined = enlarge(joined, size).squeeze(1)
    ratio = _luma(light) / (_luma(reference) + 1e-4)
    bluer = (_blueness(light) - _blueness(reference)).abs()
    # The top of the frame has no walls, but white clouds and the sun.
    high = 1 - 2 * torch.arange(size[0], device=light.device).view(1, -1, 1) / size[0]
    alike = ((0.25 + (high - 0.5).clamp_min(0) * 4 - bluer) / 0.03).sigmoid()
    return joined * ((ratio - 0.6) / 0.06).sigmoid() * alike


def _largest_nearby(values: Tensor) -> Tensor:
    """Maximum over 9×9 pixels, the distance of windows in a facade across the street."""
    return largest_along(largest_along(values, 4, 2), 4, 3)


def _spread_along_rows(values: Tensor, open_: Tensor) -> Tensor:
    """Give each run of open pixels in a row the largest value in the run.

    This connects the sky below a treetop at the top edge with the sky beside it.
    """
    run = (~open_).long().cumsum(3)  # the run's number: it grows at each pixel that is not open
    run = run.clamp_max(run.shape[3] - 1)  # in a row without open pixels, whose result is unused
    largest = torch.zeros_like(values).scatter_reduce(3, run, values * open_, "amax")
    return torch.where(open_, largest.gather(3, run), values)


def _like_sky(light: Tensor, exposure: Tensor) -> Tensor:
    """(B, h, w) in 0-1: high if much brighter than the road, or blue and not dark."""
    relative = _luma(light) / exposure.view(-1, 1, 1)
    bright = ((relative - 1.6) / 0.2).sigmoid()
    blue = ((_blueness(light) - 0.3) / 0.05).sigmoid() * ((relative - 0.15) / 0.03).sigmoid()
    return torch.maximum(bright, blue)


def _blueness(light: Tensor) -> Tensor:
    """(B, h, w) from -1 (no blue) to 1 (no red)."""
    return (light[:, 2] - light[:, 0]) / (light[:, 2] + light[:, 0] + 1e-3)
