"""Random numbers for the frames of a batch, from one stream per frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor


class Draws:
    """One random stream per frame.

    A frame's numbers do not depend on the other frames. So its augmentation is the same whether one
    process has the whole batch or several processes have parts of it.
    """

    def __init__(self, streams: Sequence[np.random.Generator]) -> None:
        self._streams = streams

    @classmethod
    def of_batch(cls, key: Sequence[int], places: Iterable[int]) -> Draws:
        """Streams seeded by `key`, such as (seed, step), and each frame's place in the batch."""
        return cls([np.random.default_rng([*key, place]) for place in places])

    def __len__(self) -> int:
        return len(self._streams)

    def of(self, frames: Tensor) -> Draws:
        """The streams of some frames, by index; they continue and are not copied."""
        return Draws([self._streams[frame] for frame in frames.tolist()])

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """(B, *shape) float32 in low-high, on the CPU."""
        numbers = np.empty((len(self), *shape), np.float32)
        for frame, stream in enumerate(self._streams):
            numbers[frame] = stream.random(shape or None, np.float32)
        return low + (high - low) * torch.from_numpy(numbers)

    def log_uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """(B, *shape) float32 in low-high, whose logarithm is uniform."""
        return self.uniform(math.log(low), math.log(high), *shape).exp()

    def integers(self, low: int, high: int) -> Tensor:
        """(B,) int64 from `low` to `high` - 1."""
        numbers = [int(stream.integers(low, high)) for stream in self._streams]
        return torch.tensor(numbers, dtype=torch.long)

    def chosen(self, share: float) -> Tensor:
        """Indices of a random `share` (0-1) of the frames."""
        return (self.uniform(0, 1) < share).nonzero().flatten()

    def normal(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """(B, *shape) float32 with mean 0 and deviation 1, drawn on `device`, for many values."""
        numbers = torch.empty((len(self), *shape), device=device)
        generator = torch.Generator(device)
        for own, stream in zip(numbers, self._streams, strict=True):
            own.normal_(generator=generator.manual_seed(int(stream.integers(2**62))))
        return numbers
