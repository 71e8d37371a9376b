"""Every encoder: image (B, 3, H, W) -> features (B, out_channels, H/os, W/os), {stride: skip}."""

from __future__ import annotations

from dashseg.config import EncoderConfig
from dashseg.models.efficientnet_lite import EfficientNetLite0
from dashseg.models.resnet import ResNet

Encoder = ResNet | EfficientNetLite0


def build_encoder(config: EncoderConfig) -> Encoder:
    """The encoder that `config` names, with random weights."""
    if config.name == EfficientNetLite0.name:
        return EfficientNetLite0(config.output_stride)
    return ResNet(
        config.name,
        config.output_stride,
        config.multi_grid,
        config.contract_dilation,
        config.width,
    )
