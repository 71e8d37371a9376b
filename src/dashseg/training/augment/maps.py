"""Resampling and filtering of smooth maps (B, C, H, W), by the fastest ways on a CPU."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F


def enlarge(values: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h, w) -> (B, C, H, W), bilinear."""
    # One channel at a time: PyTorch takes three times as long per plane with three channels.
    planes = values.flatten(0, 1).unsqueeze(1)
    planes = F.interpolate(planes, size, mode="bilinear", align_corners=False)
    return planes.view(*values.shape[:2], *size)


def shrink(values: Tensor, step: int) -> Tensor:
    """(B, C, H, W) -> (B, C, ceil(H / step), ceil(W / step)), by area."""
    return F.avg_pool2d(values, step, ceil_mode=True) if step > 1 else values


def smear(values: Tensor, radius: int, times: int, *, rows: bool = True) -> Tensor:
    """Mean over 2·radius + 1 rows (or columns), repeated `times`, with zeros outside."""
    # A single matrix product for any radius and number of repetitions.
    if rows:
        return _means(values.shape[-2], radius, times, values.device) @ values
    return values @ _means(values.shape[-1], radius, times, values.device)


@lru_cache(maxsize=32)
def _means(count: int, radius: int, times: int, device: torch.device) -> Tensor:
    index = torch.arange(count, device=device)
    near = (index - index.unsqueeze(1)).abs() <= radius
    return torch.linalg.matrix_power(near.float() / (2 * radius + 1), times)


def largest_along(values: Tensor, reach: int, dim: int) -> Tensor:
    """The maximum over 2·reach + 1 places along `dim`."""
    pad = [reach, reach] if dim in (-1, values.ndim - 1) else [0, 0, reach, reach]
    values = F.pad(values, pad, value=-torch.inf)
    # Doubling the window takes log2(window) steps.
    seen, window = 1, 2 * reach + 1
    while seen < window:
        further = min(seen, window - seen)
        length = values.shape[dim] - further
        values = torch.maximum(values.narrow(dim, 0, length), values.narrow(dim, further, length))
        seen += further
    return values
