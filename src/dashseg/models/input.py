"""A frame at its working size -> the network's input: the normalisation, once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dashseg.config import InputConfig
from dashseg.input_size import to_working_size, working_size

__all__ = ["Normalise", "to_batch", "to_working_size", "working_size"]


class Normalise(nn.Module):
    """RGB in 0-255 -> what the network was trained on: channel order, mean and deviation."""

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


def to_batch(images: Tensor) -> Tensor:
    """(B, H, W, 3) as frames come -> (B, 3, H, W), channels last in memory, without a copy."""
    return images.permute(0, 3, 1, 2)
