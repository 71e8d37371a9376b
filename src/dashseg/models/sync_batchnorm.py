"""Batch norm with mean and variance over the frames of all processes.

PyTorch has one for GPUs; this module has one for CPUs.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dashseg.timm_library import import_timm


def synchronise_norms(network: nn.Module, device: torch.device) -> None:
    """Replace every `BatchNorm2d` by a synchronised one, in place; parameters keep their names.

    Args:
        device: the device of the training.
    """
    on_cpu = device.type == "cpu"
    convert = _convert if on_cpu else nn.SyncBatchNorm.convert_sync_batchnorm
    for parent in list(network.modules()):
        for name, norm in parent.named_children():
            if type(norm) is nn.BatchNorm2d:
                setattr(parent, name, convert(norm))
            elif isinstance(norm, nn.BatchNorm2d) and hasattr(norm, "act"):
                setattr(parent, name, _convert_timms(norm, on_cpu))


class SyncBatchNorm(nn.BatchNorm2d):
    """Synchronised batch norm on the CPU: (B, C, H, W) -> (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        values = x.float()
        pixels = values.new_tensor([values.numel() / values.shape[1]])
        sums = _sum_over_processes(torch.cat([values.sum((0, 2, 3)), pixels]))  # (C + 1,)
        count = sums[-1].detach()
        mean = sums[:-1] / count
        values = values - mean.view(1, -1, 1, 1)
        # From centred values: E[x²] − E[x]² would lose the precision of a small variance.
        variance = _sum_over_processes(values.square().sum((0, 2, 3))) / count
        self._update_running_statistics(mean.detach(), variance.detach(), count)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (values * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)

    def _update_running_statistics(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Update as batch norm does, with the unbiased variance."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)


_Sync = TypeVar("_Sync", bound=SyncBatchNorm)


class SyncBatchNormAct(SyncBatchNorm):
    """As timm's BatchNormAct2d, which ends with dropout and an activation."""

    drop: nn.Module
    act: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.drop(super().forward(x)))
        return y


def _convert_timms(norm: nn.BatchNorm2d, on_cpu: bool) -> nn.Module:
    if not on_cpu:
        synced: nn.Module = import_timm().layers.convert_sync_batchnorm(norm)
        return synced
    with_activation = _converted(norm, SyncBatchNormAct)
    for name in ("drop", "act"):
        setattr(with_activation, name, norm.get_submodule(name))
    return with_activation


def _convert(norm: nn.BatchNorm2d) -> SyncBatchNorm:
    return _converted(norm, SyncBatchNorm)


def _converted(norm: nn.BatchNorm2d, kind: type[_Sync]) -> _Sync:
    synced = kind(norm.num_features, norm.eps, norm.momentum)
    synced.weight, synced.bias = norm.weight, norm.bias
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        setattr(synced, name, getattr(norm, name))
    synced.train(norm.training)
    return synced


class _SumOverProcesses(torch.autograd.Function):
    """Forward: the sum of all processes' tensors. Backward: the sum of their gradients."""

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


def _sum_over_processes(x: Tensor) -> Tensor:
    total: Tensor = _SumOverProcesses.apply(x)  # type: ignore[no-untyped-call]
    return total
