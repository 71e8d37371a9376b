"""A frame at working size -> the network's input: the only place that normalises."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dashseg.config import InputConfig


class Normalise(nn.Module):
    """RGB in 0-255 -> the network's channel order, mean and standard deviation."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: InputConfig) -> None:
        super().__init__()
        self.bgr = config.channels == "bgr"
        for name, value in (("mean", config.mean), ("std", config.std)):
            scaled = 255 * torch.tensor(value).view(1, 3, 1, 1)
            self.register_buffer(name, scaled, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB, uint8 or float, 0-255 -> (B, 3, H, W) float32."""
        if self.bgr:
            image = image.flip(1)
        return (image.float() - self.mean) / self.std

    def in_rows(self, images: Tensor) -> Tensor:
        """(B, H, W, 3) RGB, 0-255 -> (B, 3, H, W) float32, as `forward` of `to_batch(images)`.

        Each row is normalised as one vector of 3 W values, in the order of memory. A graph traced
        from `forward` makes OpenVINO reorder the image twice.
        """
        mean, std = (value.flatten() for value in (self.mean, self.std))
        if self.bgr:
            mean, std = mean.flip(0), std.flip(0)
        width = images.shape[2]
        rows = (images.flatten(2).float() - mean.repeat(width)) / std.repeat(width)  # (B, H, 3 W)
        image = to_batch(rows.view(images.shape))  # (B, 3, H, W)
        return image.flip(1) if self.bgr else image


def mean_colour(config: InputConfig) -> NDArray[np.uint8]:
    """uint8 (3,) RGB: the colour that is about zero after normalisation, for borders."""
    return np.rint(255 * np.array(config.mean_rgb)).astype(np.uint8)


def to_batch(images: Tensor) -> Tensor:
    """(B, H, W, 3) -> (B, 3, H, W), channels last in memory, without a copy."""
    return images.permute(0, 3, 1, 2)
