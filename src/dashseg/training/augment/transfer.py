"""What is drawn on the CPU -> the device that trains, which need not wait for it.

A plain `.to` or `new_tensor` makes the processor wait until a GPU has done all that it was given
before; a step of augmentation has dozens of them.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def sent(values: Tensor, device: torch.device) -> Tensor:
    """`values`, which lie on the CPU, on `device`: a GPU fetches them when its turn comes."""
    if device.type == "cpu":
        return values
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


@lru_cache(maxsize=64)
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """float32 (n,) on `device`, sent once; not to be written to."""
    return sent(torch.tensor(values, dtype=torch.float32), device)
