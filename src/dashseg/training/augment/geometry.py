"""Flip, scale, rotate, crop and distort: image and label are resampled once, by one grid.

The grid maps the crop's pixels to the frame's. It is smooth, so it is computed at every eighth
pixel (`_NODE`) and interpolated linearly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dashseg.config import AugmentConfig, Size
from dashseg.labels import IGNORE
from dashseg.training.augment.draws import Draws
from dashseg.training.augment.transfer import constant, sent
from dashseg.training.soft_labels import SoftLabels

_NODE = 8  # pixels between nodes of the grid
_ELASTIC_NODES = (5, 6)  # random shifts, down and across, that a smooth field interpolates
_ALL = 0.999  # a share of 1, after rounding
_CELLS = 5  # strips in each direction of grid distortion, as in albumentations


@dataclass(frozen=True)
class Geometry:
    """How the frames of a batch are moved.

    Args:
        size: (H, W) of the frames.
        flip: bool (B,), the frames that are mirrored, if nothing else is done.
        grid: float (B, h, w, 2), or None: where in the frame, in ±1, each of the crop's pixels is.
    """

    size: Size
    flip: Tensor
    grid: Tensor | None = None

    def warp(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Move image, float (B, 3, H, W), and label, int64 (B, H, W).

        Returns:
            The image (B, 3, h, w), bilinear; the label (B, h, w), nearest, 255 outside the frame;
            and bool (B, h, w), True outside the frame, or None if nothing is outside.
        """
        if self.grid is None:
            return self._mirrored(image), self._mirrored(label), None
        return _sample(image, label, self.grid)

    def warp_soft(self, soft: SoftLabels) -> SoftLabels:
        """Move the predictions of the frames: bilinear, at their own stride, none outside."""
        if self.grid is None:
            return SoftLabels(*map(self._mirrored, soft))
        crop, old = self.grid.shape[1:3], soft.known.shape[1:]
        new = [
            max(1, round(side * cells / whole))
            for side, cells, whole in zip(crop, old, self.size, strict=True)
        ]
        # At the predictions' own pixel centres: between those of the crop.
        grid = F.interpolate(
            self.grid.permute(0, 3, 1, 2), new, mode="bilinear", align_corners=False
        ).permute(0, 2, 3, 1)
        logits, known = (
            F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
            for x in (soft.logits, soft.known.unsqueeze(1).float())
        )
        inside = (grid.abs() <= 1).all(-1)
        return SoftLabels(logits, (known.squeeze(1) > _ALL) & inside)

    def _mirrored(self, pixels: Tensor) -> Tensor:
        where = self.flip.view(-1, *[1] * (pixels.ndim - 1))
        return torch.where(where, pixels.flip(-1), pixels)


def draw_geometry(
    size: Size, config: AugmentConfig, draws: Draws, device: torch.device
) -> Geometry:
    """Draw the recipe's geometry for frames of a size (H, W), of which `draws` are."""
    crop = config.crop or size
    flip = draws.uniform(0, 1) < config.flip
    distorts = config.distort.share > 0
    if config.scale == (1, 1) and config.rotate == 0 and crop == size and not distorts:
        return Geometry(size, sent(flip, device))
    scale = draws.log_uniform(*config.scale)
    angle = draws.uniform(-config.rotate, config.rotate).deg2rad()
    place = draws.uniform(0, 1, 2)
    nodes = _affine_nodes(size, crop, flip, scale, angle, place)  # (B, n, m, 2) x, y in the frame
    if distorts:
        nodes = _distort(nodes, size, config, draws)
    return Geometry(size, flip, _dense(sent(nodes, device), size, crop))


def _affine_nodes(
    size: Size, crop: Size, flip: Tensor, scale: Tensor, angle: Tensor, place: Tensor
) -> Tensor:
    """(B, n, m, 2): x, y in the frame of every `_NODE`th pixel of the crop, and of one beyond it.

    The frame is mirrored, rotated and scaled about its centre. Then the crop is placed at random
    inside a larger frame, or around a smaller one.

    Args:
        size: (H, W) of the frame.
        crop: (H, W) of the crop.
        flip: bool (B,).
        scale: (B,).
        angle: (B,) radians.
        place: (B, 2) in 0-1, the crop's position.
    """
    frame = torch.tensor([size[1], size[0]], dtype=torch.float32)  # (x, y)
    window = torch.tensor([crop[1], crop[0]], dtype=torch.float32)
    slack = (frame * scale.unsqueeze(1) - window).abs()  # (B, 2) pixels that the crop can move
    centre = window / 2 - 0.5 + (place - 0.5) * slack  # the frame's centre, in the crop
    x, y = (torch.arange(-(-(side - 1) // _NODE) + 1) * float(_NODE) for side in crop[::-1])
    dx = x.view(1, 1, -1) - centre[:, 0].view(-1, 1, 1)
    dy = y.view(1, -1, 1) - centre[:, 1].view(-1, 1, 1)
    cos, sin = (f.view(-1, 1, 1) for f in (angle.cos() / scale, angle.sin() / scale))
    mirror = torch.where(flip, -1.0, 1.0).view(-1, 1, 1)
    back = torch.stack([mirror * (cos * dx + sin * dy), cos * dy - sin * dx], -1)
    return back + frame / 2 - 0.5


def _distort(nodes: Tensor, size: Size, config: AugmentConfig, draws: Draws) -> Tensor:
    """Distort the grid of a share of the frames, each by one method whose strength is above 0."""
    settings = config.distort
    frames = draws.chosen(settings.share)
    own = draws.of(frames)
    extent = torch.tensor([size[1], size[0]], dtype=torch.float32)
    half = extent / 2
    place = (nodes[frames] + 0.5 - half) / half  # (F, n, m, 2) in ±1 over the frame
    bent = [
        bend(place, extent, strength, own)
        for bend, strength in (
            (_elastic, settings.elastic),
            (_stretched, settings.grid),
            (_optical, settings.optical),
        )
        if strength > 0
    ]
    if not bent:
        return nodes
    which = own.integers(0, len(bent))
    result = torch.stack(bent)[which, torch.arange(len(frames))]
    return nodes.index_copy(0, frames, result * half + half - 0.5)


def _elastic(place: Tensor, extent: Tensor, most: float, draws: Draws) -> Tensor:
    """Shift by a smooth random field of up to ± `most` of the frame's height."""
    shifts = draws.uniform(-1, 1, 2, *_ELASTIC_NODES)
    # Sampled at places in the frame: the field does not depend on the crop.
    field = F.grid_sample(
        shifts, place, mode="bicubic", padding_mode="border", align_corners=True
    )  # (F, 2, n, m)
    return place + 2 * most * extent[1] / extent * field.permute(0, 2, 3, 1)


def _stretched(place: Tensor, extent: Tensor, most: float, draws: Draws) -> Tensor:
    """Divide the frame into strips in both directions and stretch each by up to 1 ± `most`."""
    count = len(place)
    steps = draws.uniform(1 - most, 1 + most, 2, _CELLS)
    edges = F.pad(steps.cumsum(2), (1, 0))
    edges = 2 * edges / edges[..., -1:] - 1  # (F, 2, cells + 1); the ends stay at ±1
    at = (place + 1) / 2 * _CELLS  # (F, n, m, 2)
    cell = at.floor().clamp(0, _CELLS - 1)
    index = cell.long().permute(0, 3, 1, 2).flatten(2)  # (F, 2, n·m)
    low, high = (edges.gather(2, index + k).view(count, 2, *place.shape[1:3]) for k in (0, 1))
    low, high = low.permute(0, 2, 3, 1), high.permute(0, 2, 3, 1)
    return low + (high - low) * (at - cell)


def _optical(place: Tensor, extent: Tensor, most: float, draws: Draws) -> Tensor:
    """Barrel or pincushion: r -> r (1 + k r²), with r = 1 at the corners and k in ± `most`."""
    k = draws.uniform(-most, most).view(-1, 1, 1, 1)
    square = ((place * extent) ** 2).sum(-1, keepdim=True) / (extent**2).sum()
    return place * (1 + k * square)


def _dense(nodes: Tensor, size: Size, crop: Size) -> Tensor:
    """The grid (B, h, w, 2), in ±1, that interpolates `nodes` (B, n, m, 2) linearly."""
    extent = constant((size[1], size[0]), nodes.device)
    coarse = (2 * nodes + 1) / extent - 1  # in ±1, as grid_sample expects
    coarse = coarse.permute(0, 3, 1, 2)  # (B, 2, n, m)
    dense = [(side - 1) * _NODE + 1 for side in coarse.shape[2:]]
    grid = F.interpolate(
        coarse.contiguous(memory_format=torch.channels_last), dense, mode="bilinear",
        align_corners=True,
    )  # fmt: skip
    return grid[..., : crop[0], : crop[1]].permute(0, 2, 3, 1)


def _sample(image: Tensor, label: Tensor, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sample image and label on a grid; returns as `Geometry.warp`."""
    moved = F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
    # Outside, grid_sample gives 0. Shifted by one, no id is 0.
    ids = F.grid_sample(
        (label + 1).unsqueeze(1).float(), grid, mode="nearest", padding_mode="zeros",
        align_corners=False,
    )  # fmt: skip
    ids = ids.squeeze(1).round().long() - 1  # (B, h, w)
    outside = ids < 0
    return moved, ids.masked_fill(outside, IGNORE), outside
