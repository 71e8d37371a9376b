"""Layers of a pretrained encoder that training leaves as they are."""

from __future__ import annotations

from torch import nn

from dashseg.config import OptimizerConfig
from dashseg.models.encoders import Encoder


def freeze(encoder: Encoder, config: OptimizerConfig) -> None:
    """Keep what `frozen_stride` and `frozen_norms` name from learning, and its norms' statistics.

    It holds until the encoder is put into training mode as a whole.
    """
    kept: list[nn.Module] = []
    if config.frozen_stride is not None:
        kept += encoder.layers_to(config.frozen_stride)
    if config.frozen_norms:
        norms = (nn.BatchNorm2d, nn.SyncBatchNorm)
        kept += [module for module in encoder.modules() if isinstance(module, norms)]
    for module in kept:
        module.requires_grad_(False).eval()
