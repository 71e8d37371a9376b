"""Measuring batch norm's statistics anew while the running ones lag behind the weights.

Validation uses running statistics. Each batch moves them by a share, the momentum (0.1 in PyTorch).
In the first steps of a training the weights change faster, so the running statistics fit none of
the networks so far. A higher weight of the first batches does not help: their statistics are the
oldest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def averaged_statistics(network: nn.Module, passes: int) -> Iterator[None]:
    """Run one forward pass in the block; running statistics become the plain mean over the passes.

    Setting `momentum` instead would recompile a compiled network for each pass.

    Args:
        network: its norms in evaluation mode keep their statistics.
        passes: number of passes so far; 0 starts anew.
    """
    moving: dict[float, list[Tensor]] = {}  # momentum -> statistics that it moves
    for norm in network.modules():
        if isinstance(norm, (nn.BatchNorm2d, nn.SyncBatchNorm)) and norm.training:
            assert norm.running_mean is not None and norm.running_var is not None
            assert norm.momentum is not None
            moving.setdefault(norm.momentum, []).extend([norm.running_mean, norm.running_var])
    before = {momentum: [s.clone() for s in moved] for momentum, moved in moving.items()}
    yield
    with torch.no_grad():
        for momentum, moved in moving.items():
            # moved = old + momentum × (new − old); wanted is old + (new − old) / (passes + 1).
            share = 1 / (passes + 1) / momentum
            torch._foreach_copy_(moved, torch._foreach_lerp(before[momentum], moved, share))
            for variance in moved[1::2]:
                variance.clamp_(min=0)  # rounding can make it negative
