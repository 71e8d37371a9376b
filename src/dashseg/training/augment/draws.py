"""Random numbers, one per frame, all from the generator that the caller seeds by step."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor


def uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    """(count,) float32 in low-high, on the generator's device."""
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)


def log_uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    """(count,) float32 in low-high, as likely to halve as to double."""
    return uniform(count, math.log(low), math.log(high), generator).exp()


def chosen(count: int, share: float, generator: Generator) -> Tensor:
    """Indices of the frames that fall into `share` of all."""
    return (uniform(count, 0, 1, generator) < share).nonzero().flatten()


def on_device(generator: Generator, device: torch.device) -> Generator:
    """A generator for pixels, on their device, whose seed is `generator`'s next draw."""
    seed = torch.randint(2**62, (), generator=generator, device=generator.device)
    return Generator(device).manual_seed(int(seed))
