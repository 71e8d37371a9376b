"""Networks that are small enough to test and too irregular to be right by luck."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from dashseg.config import (
    AsppConfig,
    DecoderConfig,
    DecoderLevel,
    EncoderConfig,
    ModelConfig,
)
from dashseg.models import DeepLabV3, build_model

NARROW = (
    DecoderLevel(stride=8, skip=6, channels=12),
    DecoderLevel(stride=4, skip=0, channels=10),
    DecoderLevel(stride=2, skip=4, channels=8, convs=2),
)


def unsettle(module: nn.Module) -> None:
    """Give every batch norm statistics and weights that no default would match."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None and norm.running_var is not None
            nn.init.normal_(norm.running_mean, std=0.2)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
            nn.init.uniform_(norm.weight, 0.5, 1.0)
            nn.init.normal_(norm.bias, std=0.2)


@pytest.fixture(name="unsettle")
def unsettle_fixture() -> Callable[[nn.Module], None]:
    return unsettle


@pytest.fixture
def narrow_levels() -> tuple[DecoderLevel, ...]:
    """The gradual decoder's levels in `unsettled`."""
    return NARROW


@pytest.fixture
def unsettled() -> Callable[..., DeepLabV3]:
    """Build a network with a narrow head and unsettled norms, in eval mode."""

    def build(encoder: Any, stride: Any, decoder: Any, **options: Any) -> DeepLabV3:
        torch.manual_seed(0)
        rates = options.pop("rates", None)
        model = build_model(
            ModelConfig(
                encoder=EncoderConfig(name=encoder, output_stride=stride, **options),
                aspp=AsppConfig(channels=16, rates=rates),
                decoder=DecoderConfig(name=decoder, levels=NARROW, channels=12),
            )
        )
        unsettle(model)
        return model.eval()

    return build
