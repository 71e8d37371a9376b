"""What all parts of the network share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class ConvNormRelu(nn.Sequential):
    """Convolution, batch norm, ReLU: (B, in, h, w) -> (B, out, h/stride, w/stride).

    The convolution has no bias because batch norm would subtract it and has its own.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        dilation: int = 1,
        stride: int = 1,
    ) -> None:
        same = dilation * (kernel_size // 2)  # the padding that keeps the size at stride 1
        super().__init__(
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                stride,
                padding=same,
                dilation=dilation,
                bias=False,
            ),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


def resize(features: Tensor, size: Sequence[int]) -> Tensor:
    """Resize bilinearly, aligning the images' edges: (B, C, h, w) -> (B, C, *size)."""
    return F.interpolate(features, size=tuple(size), mode="bilinear", align_corners=False)


def restore_buffers(network: nn.Module) -> None:
    """Compute buffers that no file holds, where they are still on the meta device.

    All parameters have their values.
    """
    for module in network.modules():
        restore = getattr(module, "init_non_persistent_buffers", None)  # timm's name for it
        if restore is None:
            continue
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta:
                setattr(module, name, torch.empty_like(buffer, device="cpu"))
        restore()


@contextmanager
def shapes_only() -> Iterator[None]:
    """Networks built inside have shapes and no values, nor memory for them (the meta device)."""
    with torch.device("meta"), _NoInitialisation():
        yield


class _NoInitialisation(TorchFunctionMode):
    """Skips initialisation: on the meta device it changes nothing, yet imports torch._dynamo."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        initialises = getattr(func, "__module__", None) == nn.init.__name__
        if initialises or func in (Tensor.normal_, Tensor.uniform_):
            return args[0] if args else kwargs["tensor"]  # the tensor is their first parameter
        return func(*args, **kwargs)
