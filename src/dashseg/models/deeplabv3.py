"""DeepLabV3: image (B, 3, H, W) -> logits (B, C, H, W).

Chen et al., "Rethinking atrous convolution for semantic image segmentation" (2017).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dashseg.config import SMALLEST_SIDE
from dashseg.models.aspp import ASPP
from dashseg.models.decoders import Decoder, MlpDecoder
from dashseg.models.encoders import Encoder
from dashseg.models.layers import resize


class DeepLabV3(nn.Module):
    """Encoder, ASPP, decoder, then bilinear upsampling to the image's size."""

    def __init__(self, encoder: Encoder, aspp: ASPP, decoder: Decoder | MlpDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.aspp = aspp
        self.decoder = decoder

    def forward(self, image: Tensor) -> Tensor:
        """Predict logits at the image's size.

        Args:
            image: (B, 3, H, W) floating point, RGB normalised by `models.input.Normalise`. H and W
                are 32 or more and need not be multiples of anything.

        Returns:
            (B, C, H, W) logits; softmax over dim 1 gives probabilities.

        Raises:
            ValueError: the image is too small.
        """
        return resize(self.coarse_logits(image), image.shape[-2:])  # (B, C, H, W)

    def coarse_logits(self, image: Tensor) -> Tensor:
        """Like `forward`, but at the decoder's stride: (B, C, H/stride, W/stride), rounded up.

        Training and inference enlarge these logits part by part, to save memory.
        """
        _check_size(*image.shape[-2:])
        features, skips = self.encoder(image)  # (B, out_channels, H/os, W/os)
        context = self.aspp(features)  # (B, 256, H/os, W/os)
        logits: Tensor = self.decoder(context, skips)  # (B, C, H/stride, W/stride)
        return logits


def _check_size(height: int, width: int) -> None:
    """Raise ValueError below SMALLEST_SIDE, in eager mode only: a traced size has no value."""
    if torch.compiler.is_compiling() or not isinstance(height, int):
        return
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(
            f"image of {height}x{width} (height x width) is too small: "
            f"DeepLabV3 takes {SMALLEST_SIDE}x{SMALLEST_SIDE} and up"
        )
