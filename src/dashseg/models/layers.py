"""What all parts of the network share."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


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
    """Compute buffers that no file holds, after `to_empty` left them without values."""
    for module in network.modules():
        restore = getattr(module, "init_non_persistent_buffers", None)  # timm's name for it
        if restore is not None:
            restore()
