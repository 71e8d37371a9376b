"""Copying small tensors from the CPU to the training device without waiting for it.

A plain `.to` or `new_tensor` waits until the GPU has finished all earlier work, and a step of
augmentation has dozens of such copies.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Copy `values` from the CPU to `device`; a GPU copies from pinned memory, asynchronously."""
    if device.type == "cpu":
        return values
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


@lru_cache(maxsize=64)
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """float32 (n,) on `device`, copied only once. Do not write to it."""
    return sent(torch.tensor(values, dtype=torch.float32), device)
