"""Resampling and filtering of smooth maps (B, C, H, W), by the ways that are fastest on a CPU."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F


def enlarge(values: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h, w) -> (B, C, H, W), bilinear."""
    # Plane by plane: PyTorch takes three times as long for three planes that belong together.
    planes = values.flatten(0, 1).unsqueeze(1)
    planes = F.interpolate(planes, size, mode="bilinear", align_corners=False)
    return planes.view(*values.shape[:2], *size)


def shrink(values: Tensor, step: int) -> Tensor:
    """(B, C, H, W) -> (B, C, ceil(H / step), ceil(W / step)), by area."""
    return F.avg_pool2d(values, step, ceil_mode=True) if step > 1 else values


def smear(values: Tensor, radius: int, times: int, *, rows: bool = True) -> Tensor:
    """Means of 2·radius + 1 rows, or else columns, `times` over, with zeros beyond the edges."""
    # One product with a matrix, whatever the radius and however often.
    if rows:
        return _means(values.shape[-2], radius, times, values.device) @ values
    return values @ _means(values.shape[-1], radius, times, values.device)


@lru_cache(maxsize=32)
def _means(count: int, radius: int, times: int, device: torch.device) -> Tensor:
    place = torch.arange(count, device=device)
    near = (place - place.unsqueeze(1)).abs() <= radius
    return torch.linalg.matrix_power(near.float() / (2 * radius + 1), times)


def largest_along(values: Tensor, reach: int, dim: int) -> Tensor:
    """The largest within `reach` before and after each place along `dim`."""
    pad = [reach, reach] if dim in (-1, values.ndim - 1) else [0, 0, reach, reach]
    values = F.pad(values, pad, value=-torch.inf)
    # Doubling what each place has seen takes fewer steps than the window has places.
    seen, window = 1, 2 * reach + 1
    while seen < window:
        further = min(seen, window - seen)
        length = values.shape[dim] - further
        values = torch.maximum(values.narrow(dim, 0, length), values.narrow(dim, further, length))
        seen += further
    return values
