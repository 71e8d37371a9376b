"""EfficientNet-Lite0 encoder: image (B, 3, H, W) -> features at the output stride, and the skips.

Tan and Le, "EfficientNet" (2019), in the variant for small devices of TensorFlow's TPU repository:
no squeeze-and-excitation, ReLU6 in place of swish. At output strides 8 and 16, dilation replaces
the last strides, as in the ResNets: Chen et al., "Rethinking atrous convolution", section 3.

The published weights expect (frame - 127) / 128; set `model.input.mean` and `std` accordingly.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Stage(NamedTuple):
    """Blocks of the same width; only the first has the stride."""

    blocks: int
    kernel_size: int
    stride: int
    expansion: int
    channels: int


STEM = 32  # channels
STAGES = (  # of the published network, whose output stride is 32
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")  # the published layers after the last stage


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 without its last 1x1 convolution (1280 channels) and classifier.

    Args:
        output_stride: 8, 16 or 32: the ratio of the image's size to the features'. The first block
            of a dilated stage keeps the dilation of the stage before. The dilated network then
            computes the features of the strided one, at more places.

    Attributes:
        out_channels: channels of the features.
        skip_channels: stride -> channels of the skip at that stride, finest first.
    """

    name = "efficientnet_lite0"
    out_channels = STAGES[-1].channels

    def __init__(self, output_stride: int = 16) -> None:
        super().__init__()
        self.output_stride = output_stride
        self.conv_stem = SameConv(3, STEM, 3, stride=2)
        self.bn0 = _norm(STEM)
        self.relu6 = nn.ReLU6(inplace=True)
        self.blocks = nn.ModuleList()
        self.skip_channels: dict[int, int] = {}
        self._skip_after: dict[int, int] = {}  # last block at a stride -> that stride
        channels, reached, dilation = STEM, 2, 1
        for stage in STAGES:
            stride, first_dilation = stage.stride, dilation
            if stride == 2:
                if reached < output_stride:
                    self.skip_channels[reached] = channels
                    self._skip_after[len(self.blocks) - 1] = reached
                    reached *= 2
                else:
                    stride, dilation = 1, 2 * dilation
            for _ in range(stage.blocks):
                self.blocks.append(InvertedResidual(channels, stage, stride, first_dilation))
                channels, stride, first_dilation = stage.channels, 1, dilation
        _initialise(self)

    def forward(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """(B, 3, H, W) -> features (B, 320, H/os, W/os), {stride: skip}.

        A skip is (B, skip_channels[stride], H/stride, W/stride). Sizes are rounded up.
        """
        skips = {}
        x = self.relu6(self.bn0(self.conv_stem(image)))  # (B, 32, H/2, W/2)
        for index, block in enumerate(self.blocks):
            x = block(x)  # (B, stage.channels, H/stride, W/stride)
            if index in self._skip_after:
                skips[self._skip_after[index]] = x
        return x, skips

    def layers_to(self, stride: int) -> list[nn.Module]:
        """The first layers, up to `stride` in the published network, whose output stride is 32."""
        reached, count = 2, 0
        for stage in STAGES:
            reached *= stage.stride
            if reached <= stride:
                count += stage.blocks
        return [self.conv_stem, self.bn0, *self.blocks[:count]]

    @staticmethod
    def parameter_name(published: str) -> str | None:
        """Our name of a parameter of the PyPI package efficientnet_lite_pytorch.

        Its names have an underscore before each part. None for the classifier's.
        """
        if published.startswith(CLASSIFIER):
            return None
        return published.removeprefix("_").replace("._", ".")


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise, 1x1 projection: (B, in, h, w) -> (B, channels, h/s, w/s).

    Sandler et al., "MobileNetV2" (2018). Input and output are added if their shapes agree.
    """

    def __init__(self, in_channels: int, stage: Stage, stride: int, dilation: int) -> None:
        super().__init__()
        wide = in_channels * stage.expansion
        if wide != in_channels:
            self.expand_conv = SameConv(in_channels, wide, 1)
            self.bn0 = _norm(wide)
        self.depthwise_conv = SameConv(wide, wide, stage.kernel_size, stride, dilation, groups=wide)
        self.bn1 = _norm(wide)
        self.project_conv = SameConv(wide, stage.channels, 1)
        self.bn2 = _norm(stage.channels)
        self.relu6 = nn.ReLU6(inplace=True)
        self.expands = wide != in_channels
        self.has_shortcut = stride == 1 and in_channels == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.expands:
            y = self.relu6(self.bn0(self.expand_conv(y)))
        y = self.relu6(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        return x + y if self.has_shortcut else y


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding: (B, in, h, w) -> (B, out, h/s, w/s).

    Sizes are rounded up. With stride 1 the padding is equal on all sides. With stride 2 it is as
    small as the size allows; if it is odd, the larger part is at the right and at the bottom.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        half = dilation * (kernel_size // 2)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding=half if stride == 1 else 0,
            dilation=dilation, groups=groups, bias=False,
        )  # fmt: skip
        # For depthwise convolutions in bfloat16, oneDNN (PyTorch 2.13) computes the weight's
        # gradient three to four times as slowly if they are 5x5, and wrongly if they are dilated.
        self._in_float32 = groups > 1 and (kernel_size == 5 or dilation > 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] == 2:
            height, width = x.shape[-2:]
            half = self.kernel_size[0] // 2
            left, top = half - 1 + width % 2, half - 1 + height % 2
            x = F.pad(x, (left, half, top, half))
        if self._in_float32 and x.device.type == "cpu" and x.dtype == torch.bfloat16:
            with torch.autocast("cpu", enabled=False):
                return self._convolve(x.float())
        return self._convolve(x)

    def _convolve(self, x: Tensor) -> Tensor:
        # On a CPU, oneDNN (PyTorch 2.13) takes two to seven times as long for the gradients of a
        # dilated depthwise convolution as for a plain one on each grid of every d-th pixel.
        depthwise, dilated = self.groups > 1, self.dilation[0] > 1
        if depthwise and dilated and x.device.type == "cpu" and torch.is_grad_enabled():
            return self._convolve_grids(x)
        return super().forward(x)

    def _convolve_grids(self, x: Tensor) -> Tensor:
        """The dilated convolution as a plain one on d·d interleaved grids."""
        d, half = self.dilation[0], self.kernel_size[0] // 2
        count, _, height, width = x.shape
        if height % d or width % d:
            x = F.pad(x, (0, -width % d, 0, -height % d))
            return self._convolve_grids(x)[..., :height, :width]
        rows, columns = height // d, width // d  # of a grid
        x = x.permute(0, 2, 3, 1).reshape(count, rows, d, columns, d, -1)
        grids = x.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)  # (B·d·d, rows, columns, C)
        y = F.conv2d(grids.permute(0, 3, 1, 2), self.weight, padding=half, groups=self.groups)
        y = y.permute(0, 2, 3, 1).reshape(count, d, d, rows, columns, -1)
        return y.permute(0, 3, 1, 4, 2, 5).reshape(count, height, width, -1).permute(0, 3, 1, 2)


def _norm(channels: int) -> nn.BatchNorm2d:
    # TensorFlow's decay of 0.99 is PyTorch's momentum of 0.01.
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _initialise(encoder: nn.Module) -> None:
    """Draw weights with variance 2 / fan-out; k² is the fan-out of a depthwise convolution."""
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels // module.groups * module.kernel_size[0] ** 2
            nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
