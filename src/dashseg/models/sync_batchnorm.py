"""Batch norm whose mean and variance are those of all processes' frames together.

PyTorch's own works on GPUs alone; for CPUs there is one here.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def synchronise_norms(network: nn.Module, device: torch.device) -> None:
    """Replace every `BatchNorm2d` by one that looks at all processes' frames. Names stay.

    Args:
        device: where the network is to train.
    """
    for parent in list(network.modules()):
        for name, norm in parent.named_children():
            if type(norm) is nn.BatchNorm2d:
                convert = _of if device.type == "cpu" else nn.SyncBatchNorm.convert_sync_batchnorm
                setattr(parent, name, convert(norm))


class SyncBatchNorm(nn.BatchNorm2d):
    """(B, C, H, W) on the CPU -> the same, normalised."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        values = x.float()
        pixels = values.new_tensor([values.numel() / values.shape[1]])
        sums = _sum_of_all(torch.cat([values.sum((0, 2, 3)), pixels]))  # (C + 1,)
        count = sums[-1].detach()
        mean = sums[:-1] / count
        values = values - mean.view(1, -1, 1, 1)
        # From the centred values: E[x²] − E[x]² would lose what float32 has of small variances.
        variance = _sum_of_all(values.square().sum((0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach(), count)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (values * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics as batch norm does, by the unbiased variance."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)


def _of(norm: nn.BatchNorm2d) -> SyncBatchNorm:
    synced = SyncBatchNorm(norm.num_features, norm.eps, norm.momentum)
    synced.weight, synced.bias = norm.weight, norm.bias
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        setattr(synced, name, getattr(norm, name))
    synced.train(norm.training)
    return synced


class _SumOfAll(torch.autograd.Function):
    """Each process's tensor -> their sum; its gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _sum_of_all(x: Tensor) -> Tensor:
    total: Tensor = _SumOfAll.apply(x)  # type: ignore[no-untyped-call]
    return total
