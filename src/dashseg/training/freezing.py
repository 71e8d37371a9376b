"""Freezing layers of a pretrained encoder."""

from __future__ import annotations

from torch import nn

from dashseg.config import OptimizerConfig
from dashseg.errors import InputError
from dashseg.models.encoders import Encoder


def freeze(encoder: Encoder, config: OptimizerConfig) -> None:
    """Freeze the layers of `frozen_stride` and `frozen_norms`, and the statistics of their norms.

    Call it again after `encoder.train()`, which unfreezes the statistics.

    Raises:
        InputError: the encoder has no such layers, or no batch norms.
    """
    frozen: list[nn.Module] = []
    if config.frozen_stride is not None:
        frozen += encoder.layers_to(config.frozen_stride)
        if not frozen:
            raise InputError(
                f"{encoder.name} has no layers down to stride {config.frozen_stride}: raise"
                " optimizer.frozen_stride, or set it to null"
            )
    if config.frozen_norms:
        norms = (nn.BatchNorm2d, nn.SyncBatchNorm)
        found = [module for module in encoder.modules() if isinstance(module, norms)]
        if not found:
            raise InputError(
                f"{encoder.name} has no batch norms: set optimizer.frozen_norms to false"
            )
        frozen += found
    for module in frozen:
        module.requires_grad_(False).eval()
