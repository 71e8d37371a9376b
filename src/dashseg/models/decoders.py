"""The decoders: context at the output stride -> logits at the finest skip's stride.

`Decoder` goes level by level. Without levels it is DeepLabV3's decoder, a 1x1 classifier. Each
level before the classifier raises the resolution and adds an encoder's skip. A single level
(stride 4, skip 48, 256 channels, 2 convs) is DeepLabV3+: Chen et al., "Encoder-decoder with atrous
separable convolution", section 3.1, with plain convolutions in place of separable ones.

`MlpDecoder` joins all scales at once: Xie et al., "SegFormer" (2021), section 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from dashseg.config import DecoderLevel
from dashseg.errors import InputError
from dashseg.models.layers import ConvNormRelu, resize


class Decoder(nn.Module):
    """The levels, coarse to fine, then a 1x1 classifier.

    Args:
        skip_channels: stride -> channels of the encoder's skip. A level at any other stride is
            left out, because the context already has that resolution.
        levels: coarse to fine.

    Raises:
        InputError: the levels are not ordered from coarse to fine.
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: Mapping[int, int],
        levels: Sequence[DecoderLevel],
        num_classes: int,
    ) -> None:
        super().__init__()
        strides = [level.stride for level in levels]
        if strides != sorted(set(strides), reverse=True):
            raise InputError(
                f"model.decoder.levels: strides {strides} are not ordered from coarse to fine; "
                f"use {sorted(set(strides), reverse=True)}"
            )
        self.strides = [stride for stride in strides if stride in skip_channels]
        self.levels = nn.ModuleList()
        for level in levels:
            if level.stride in skip_channels:
                self.levels.append(Level(in_channels, skip_channels[level.stride], level))
                in_channels = level.channels
        self.classifier = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, context: Tensor, skips: Mapping[int, Tensor]) -> Tensor:
        """(B, in_channels, h, w), {stride: skip} -> (B, num_classes, H/stride, W/stride).

        The stride is that of the last level; without levels the logits are h x w.
        """
        x = context
        for stride, level in zip(self.strides, self.levels, strict=True):
            x = level(x, skips[stride])  # (B, level.channels, H/stride, W/stride)
        return self.classifier(x)


class Level(nn.Module):
    """Upsample to the skip's size, concatenate the projected skip, apply 3x3 convolutions."""

    def __init__(self, in_channels: int, skip_channels: int, level: DecoderLevel) -> None:
        super().__init__()
        self.project = ConvNormRelu(skip_channels, level.skip, 1) if level.skip else None
        self.convs = nn.Sequential()
        in_channels += level.skip
        for _ in range(level.convs):
            self.convs.append(ConvNormRelu(in_channels, level.channels, 3))
            in_channels = level.channels

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(B, in_channels, h, w), (B, skip_channels, H, W) -> (B, level.channels, H, W)."""
        x = resize(x, skip.shape[-2:])  # (B, in_channels, H, W)
        if self.project is not None:
            x = torch.cat([x, self.project(skip)], dim=1)  # (B, in_channels + level.skip, H, W)
        return self.convs(x)


class MlpDecoder(nn.Module):
    """SegFormer's all-MLP decoder: project each scale, enlarge all to the finest, mix, classify.

    Args:
        skip_channels: stride -> channels of the encoder's skip; all of them are taken.
        channels: of each projection, and of what they are mixed to.
    """

    def __init__(
        self, in_channels: int, skip_channels: Mapping[int, int], channels: int, num_classes: int
    ) -> None:
        super().__init__()
        self.strides = sorted(skip_channels, reverse=True)
        widths = [in_channels, *(skip_channels[stride] for stride in self.strides)]
        # Projection and mixing could be one linear map, which is learnt worse: docs/results.md.
        self.projections = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.mix = ConvNormRelu(len(widths) * channels, channels, 1)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, context: Tensor, skips: Mapping[int, Tensor]) -> Tensor:
        """(B, in_channels, h, w), {stride: skip} -> (B, num_classes, H/stride, W/stride).

        The stride is that of the finest skip; without skips the logits are h x w.
        """
        scales = [context, *(skips[stride] for stride in self.strides)]
        maps = [project(x) for project, x in zip(self.projections, scales, strict=True)]
        size = maps[-1].shape[-2:]
        joined = torch.cat([*(resize(x, size) for x in maps[:-1]), maps[-1]], dim=1)
        return self.classifier(self.mix(joined))  # (B, num_classes, H/stride, W/stride)
