"""DeepLabV3: image (B, 3, H, W) -> logits (B, C, H, W).

Chen et al., "Rethinking atrous convolution for semantic image segmentation" (2017).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dashseg.config import SMALLEST_SIDE
from dashseg.models.aspp import ASPP
from dashseg.models.decoders import Decoder
from dashseg.models.encoders import Encoder
from dashseg.models.layers import resize


class DeepLabV3(nn.Module):
    """Encoder, context, decoder, and back to the image's size."""

    def __init__(self, encoder: Encoder, aspp: ASPP, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.aspp = aspp
        self.decoder = decoder

    def forward(self, image: Tensor) -> Tensor:
        """Logits of a normalised RGB image.

        Args:
            image: (B, 3, H, W) floating point, H and W at least 32, any multiple or none.

        Returns:
            (B, C, H, W), unnormalised; softmax over dim 1 gives probabilities.

        Raises:
            ValueError: the image is too small.
        """
        return resize(self.coarse_logits(image), image.shape[-2:])  # (B, C, H, W)

    def coarse_logits(self, image: Tensor) -> Tensor:
        """As `forward`, but the logits stay at the decoder's stride: (B, C, H/stride, W/stride).

        Sides are rounded up. Training compares them with labels at the image's size, and labels
        of frames are made from them, without those of the image's size in between.
        """
        _check(*image.shape[-2:])
        features, skips = self.encoder(image)  # (B, out_channels, H/os, W/os)
        context = self.aspp(features)  # (B, 256, H/os, W/os)
        logits: Tensor = self.decoder(context, skips)  # at the stride of its last level
        return logits


def _check(height: int, width: int) -> None:
    """Raise ValueError below SMALLEST_SIDE; in eager mode only, as a traced size has no value."""
    if torch.compiler.is_compiling() or not isinstance(height, int):
        return
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(
            f"image of {height}x{width} (height x width) is too small: "
            f"DeepLabV3 takes {SMALLEST_SIDE}x{SMALLEST_SIDE} and up"
        )
