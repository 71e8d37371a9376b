"""Coarse dropout: rectangles that hide part of a frame."""

from __future__ import annotations

import torch
from torch import Tensor

from dashseg.config import DropoutConfig
from dashseg.training.augment.draws import Draws


def coarse_holes(
    shape: tuple[int, ...] | torch.Size, config: DropoutConfig, draws: Draws
) -> Tensor:
    """bool (B, H, W), on the CPU: True in one to `config.holes` rectangles of a share of frames."""
    count, height, width = shape
    many = draws.integers(1, config.holes + 1)
    many = many * (draws.uniform(0, 1) < config.share)
    sides = draws.uniform(*config.size, config.holes, 2)
    corners = draws.uniform(0, 1, config.holes, 2) * (1 - sides)
    holes = torch.zeros(count, height, width, dtype=torch.bool)
    extent = torch.tensor([height, width])
    first = (corners * extent).long()
    last = first + (sides * extent).long().clamp_min(1)
    for frame in range(count):
        for hole in range(int(many[frame])):
            (top, left), (bottom, right) = first[frame, hole].tolist(), last[frame, hole].tolist()
            holes[frame, top:bottom, left:right] = True
    return holes
