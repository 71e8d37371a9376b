"""Atrous spatial pyramid pooling: features (B, C, h, w) -> context (B, channels, h, w).

Chen et al., "Rethinking atrous convolution for semantic image segmentation", section 3.3.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from dashseg.models.layers import ConvNormRelu

# Output stride -> rates. The paper's 6, 12, 18 at 16 and twice that at 8 reach equally far in the
# image; 32 continues the series.
RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}


class ASPP(nn.Module):
    """Five parallel branches (1x1, three dilated 3x3, image pooling), then a 1x1 projection."""

    def __init__(
        self, in_channels: int, channels: int, rates: tuple[int, int, int], dropout: float
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvNormRelu(in_channels, channels, 1),
                *(ConvNormRelu(in_channels, channels, 3, dilation=rate) for rate in rates),
                ImagePooling(in_channels, channels),
            ]
        )
        self.project = ConvNormRelu(len(self.branches) * channels, channels, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, channels, h, w)."""
        pyramid = torch.cat([branch(features) for branch in self.branches], dim=1)
        return self.dropout(self.project(pyramid))  # (B, 5 channels, h, w) -> (B, channels, h, w)


class ImagePooling(nn.Module):
    """The image's mean feature, projected and repeated at every pixel.

    (B, in_channels, h, w) -> (B, out_channels, h, w).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        mean = self.conv(F.adaptive_avg_pool2d(features, 1))  # (B, out, 1, 1)
        mean = F.relu(self._normalise(mean))
        everywhere = mean.expand(-1, -1, *features.shape[-2:])  # (B, out, h, w)
        # As expanded (stride 0), it would make `torch.cat` convert the other branches to another
        # memory format.
        return everywhere.contiguous(memory_format=torch.channels_last)

    def _normalise(self, mean: Tensor) -> Tensor:
        """Apply batch norm, with the running statistics if a channel has only one value.

        One value has no variance, and PyTorch raises an error for it in training. A synchronised
        norm, which is of another type, also sees the other processes' values.
        """
        norm = self.norm
        not_synchronised = type(norm) is nn.BatchNorm2d or not dist.is_initialized()
        if self.training and len(mean) == 1 and not_synchronised:
            statistics = norm.running_mean, norm.running_var
            return F.batch_norm(mean, *statistics, norm.weight, norm.bias, eps=norm.eps)
        return norm(mean)
