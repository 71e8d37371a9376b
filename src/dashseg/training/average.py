"""A moving average of a network's weights, which validation and the saved model use."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dashseg.models import DeepLabV3


class MovingAverage:
    """Exponential moving average of parameters and buffers.

    The decay rises as (1 + steps) / (10 + steps) up to the one asked for, so that a short run is
    not held back by its random start (TensorFlow's ExponentialMovingAverage, num_updates).

    Args:
        network: what is averaged; copied as it is.
        decay: share of the average that a step keeps, 0-1.
    """

    def __init__(self, network: DeepLabV3, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, current: nn.Module) -> None:
        """Take one step's weights in; in few operations, none of which waits for a GPU."""
        # The first time, the average is what there is to average.
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.updates else 0.0
        pairs = list(zip(_values(self.network), _values(current), strict=True))
        averaged, new = zip(*(p for p in pairs if p[0].is_floating_point()), strict=True)
        torch._foreach_lerp_(averaged, new, 1 - decay)
        for ours, theirs in pairs:
            if not ours.is_floating_point():  # batch norm's counts
                ours.copy_(theirs)
        self.updates += 1

    def restart(self, current: nn.Module) -> None:
        """Begin anew from a network's weights."""
        self.network.load_state_dict(current.state_dict())
        self.updates = 0

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.updates = state["updates"]


def _values(module: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers."""
    yield from module.parameters()
    yield from module.buffers()
