"""Batch norm's statistics, measured anew where the running ones lag behind the weights.

Validation uses running statistics. They move by a share of each batch, the momentum (0.1 in
PyTorch). In the first steps of a training the weights move faster, and a validation scores neither
the network before nor the network after. It does not help to let the first batches count more: of
all statistics theirs are the oldest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def averaged_statistics(network: nn.Module, passes: int) -> Iterator[None]:
    """Make running means and variances the plain mean over forward passes, of which one is inside.

    Setting `momentum` instead would recompile a compiled network at each pass.

    Args:
        network: norms in evaluation mode keep their statistics.
        passes: how many were averaged before; 0 forgets what the statistics were.
    """
    moving: dict[float, list[Tensor]] = {}  # momentum -> statistics that move by it
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
                variance.clamp_(min=0)  # rounding may have left a little less
