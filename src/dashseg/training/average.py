"""A moving average of a network's weights, for validation and the saved model."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dashseg.models import DeepLabV3


class MovingAverage:
    """Exponential moving average of parameters and buffers.

    The decay rises as (1 + steps) / (10 + steps) up to `decay`, so that the average of a short run
    does not keep the random start (TensorFlow's ExponentialMovingAverage, num_updates).

    Args:
        network: is copied.
        decay: share of the average that each step keeps, 0-1.
    """

    def __init__(self, network: DeepLabV3, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, current: nn.Module) -> None:
        """Add one step's weights. Few operations, and none of them waits for a GPU."""
        rising = (1 + self.updates) / (10 + self.updates)
        decay = min(self.decay, rising) if self.updates else 0.0  # at first, copy
        pairs = list(zip(_tensors(self.network), _tensors(current), strict=True))
        averaged, new = zip(*(p for p in pairs if p[0].is_floating_point()), strict=True)
        torch._foreach_lerp_(averaged, new, 1 - decay)
        for ours, theirs in pairs:
            if not ours.is_floating_point():  # num_batches_tracked
                ours.copy_(theirs)
        self.updates += 1

    def restart(self, current: nn.Module) -> None:
        """Start again from a network's weights."""
        self.network.load_state_dict(current.state_dict())
        self.updates = 0

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.updates = state["updates"]


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()
