"""Coarse dropout: rectangles that hide parts of a frame."""

from __future__ import annotations

import torch
from torch import Tensor

from dashseg.config import DropoutConfig
from dashseg.training.augment.draws import Draws


def coarse_holes(
    shape: tuple[int, ...] | torch.Size, config: DropoutConfig, draws: Draws
) -> Tensor:
    """bool (B, H, W), on the CPU: True in 1 to `config.holes` rectangles in a share of the frames.

    Args:
        shape: (B, H, W).
    """
    count, height, width = shape
    number = draws.integers(1, config.holes + 1)
    number = number * (draws.uniform(0, 1) < config.share)
    sides = draws.uniform(*config.size, config.holes, 2)
    corners = draws.uniform(0, 1, config.holes, 2) * (1 - sides)
    holes = torch.zeros(count, height, width, dtype=torch.bool)
    extent = torch.tensor([height, width])
    first = (corners * extent).long()
    last = first + (sides * extent).long().clamp_min(1)
    for frame in range(count):
        for hole in range(int(number[frame])):
            (top, left), (bottom, right) = first[frame, hole].tolist(), last[frame, hole].tolist()
            holes[frame, top:bottom, left:right] = True
    return holes
