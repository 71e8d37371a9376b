"""Working size: the size at which the network sees a frame (`model.input.size` and `resize`)."""

from __future__ import annotations

from dashseg.config import SMALLEST_SIDE, InputConfig
from dashseg.images import resize_image
from dashseg.labels import Image


def working_size(frame: tuple[int, int], config: InputConfig) -> tuple[int, int]:
    """Frame's (H, W) -> working (H, W), 32 or more each.

    "fit" keeps the aspect ratio and stays within `config.size`; "squash" uses exactly that size.
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
    """Resize a uint8 H×W×3 RGB frame to its working size."""
    return resize_image(image, working_size(image.shape[:2], config))
