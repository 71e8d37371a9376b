"""A frame of any size -> the network's input: the size rule and the normalisation, once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dashseg.config import SMALLEST_SIDE, InputConfig
from dashseg.images import resize_image
from dashseg.labels import Image


def working_size(frame: tuple[int, int], config: InputConfig) -> tuple[int, int]:
    """(H, W) at which the network sees a frame of this (H, W).

    "fit" keeps the frame's aspect ratio within `config.size`; "squash" takes that size as it is.
    """
    if config.size is None:
        height, width = frame
    elif config.resize == "squash":
        height, width = config.size
    else:
        factor = min(config.size[0] / frame[0], config.size[1] / frame[1])
        height, width = round(frame[0] * factor), round(frame[1] * factor)
    return max(height, SMALLEST_SIDE), max(width, SMALLEST_SIDE)


def to_working_size(image: Image, config: InputConfig) -> Image:
    """Resize a uint8 H×W×3 RGB frame by the size rule."""
    return resize_image(image, working_size(image.shape[:2], config))


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


def to_batch(image: Image) -> Tensor:
    """uint8 H×W×3 -> uint8 (1, 3, H, W), channels last in memory, without a copy."""
    return torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)
