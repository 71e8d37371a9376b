"""Freezing layers of a pretrained encoder."""

from __future__ import annotations

from torch import nn

from dashseg.config import OptimizerConfig
from dashseg.models.encoders import Encoder


def freeze(encoder: Encoder, config: OptimizerConfig) -> None:
    """Freeze the layers of `frozen_stride` and `frozen_norms`, and the statistics of their norms.

    Call it again after `encoder.train()`, which unfreezes the statistics.
    """
    frozen: list[nn.Module] = []
    if config.frozen_stride is not None:
        frozen += encoder.layers_to(config.frozen_stride)
    if config.frozen_norms:
        norms = (nn.BatchNorm2d, nn.SyncBatchNorm)
        frozen += [module for module in encoder.modules() if isinstance(module, norms)]
    for module in frozen:
        module.requires_grad_(False).eval()
