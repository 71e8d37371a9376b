"""The encoders by name: image (B, 3, H, W) -> features at the output stride, and skips above it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from dashseg.config import EncoderConfig
from dashseg.models.efficientnet_lite import EfficientNetLite0
from dashseg.models.resnet import ResNet
from dashseg.timm_library import PREFIX


class Encoder(Protocol):
    """What DeepLabV3 and its training need of an encoder, which is an `nn.Module`.

    Attributes:
        name: for error messages.
        output_stride: ratio of the image's size to the features'.
        out_channels: channels of the features.
        skip_channels: stride -> channels of the skip at that stride, finest first.
    """

    name: str
    output_stride: int
    out_channels: int
    skip_channels: dict[int, int]

    def __call__(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """(B, 3, H, W) -> features (B, out_channels, H/os, W/os), {stride: skip}."""

    def layers_to(self, stride: int) -> list[nn.Module]:
        """The first layers, up to `stride` in the published network; training may freeze them."""

    # Of nn.Module:
    def modules(self) -> Iterator[nn.Module]: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Any: ...
    def compile(self) -> None: ...


def _resnet(config: EncoderConfig) -> Encoder:
    return ResNet(
        config.name,
        config.output_stride,
        config.multi_grid,
        config.contract_dilation,
        config.width,
        config.stem,
    )


def build_encoder(config: EncoderConfig, strides: Collection[int] = ()) -> Encoder:
    """Build an encoder with random weights.

    Args:
        strides: of the skips that the decoder takes.

    Raises:
        InputError: timm is missing, or has no such encoder, or cannot build it as configured.
    """
    if config.name.startswith(PREFIX):
        from dashseg.models.timm_encoders import timm_encoder

        return timm_encoder(config, strides)
    return ENCODERS[config.name](config)


# The key is the recipe's `model.encoder.name`, which `EncoderConfig` lists too.
ENCODERS: dict[str, Callable[[EncoderConfig], Encoder]] = {
    "resnet18": _resnet,
    "resnet34": _resnet,
    "resnet50": _resnet,
    "resnet101": _resnet,
    "efficientnet_lite0": lambda config: EfficientNetLite0(config.output_stride),
}
