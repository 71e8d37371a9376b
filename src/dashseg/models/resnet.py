"""ResNet encoder: image (B, 3, H, W) -> features at the output stride, and the skips above it.

He et al., "Deep residual learning", with the stride in the bottleneck's 3x3 ("V1.5"), as in the
weights that torchvision and timm publish. Modules have the same names as there, so those weights
load unchanged. At output strides 8 and 16, dilation replaces the last strides: Chen et al.,
"Rethinking atrous convolution" (DeepLabV3), section 3.
"""

from __future__ import annotations

import itertools
from typing import Literal

from torch import Tensor, nn

from dashseg.models.layers import ConvNormRelu

# Output stride -> for layer1 .. layer4, the stride of the first block and the dilation of the 3x3
# convolutions. Each stride that is replaced doubles the dilation of all later layers.
STRIDES_AND_DILATIONS = {
    8: ((1, 2, 1, 1), (1, 1, 2, 4)),
    16: ((1, 2, 2, 1), (1, 1, 1, 2)),
    32: ((1, 2, 2, 2), (1, 1, 1, 1)),
}
WIDTHS = (64, 128, 256, 512)
CLASSIFIER = "fc."  # for the 1000 classes of ImageNet


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (B, in, h, w) -> (B, width, h/stride, w/stride)."""

    expansion = 1

    def __init__(
        self, in_channels: int, width: int, stride: int, first_dilation: int, dilation: int
    ) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, width, stride, first_dilation)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv3x3(width, width, 1, dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a shortcut: (B, in, h, w) -> (B, 4 width, h/stride, w/stride).

    It has a single 3x3, which is its first: `dilation` is not used.
    """

    expansion = 4

    def __init__(
        self, in_channels: int, width: int, stride: int, first_dilation: int, dilation: int
    ) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, stride, first_dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + self.downsample(x))


LAYOUTS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
}


class ResNet(nn.Module):
    """A ResNet without its classifier.

    Args:
        name: a key of `LAYOUTS`.
        output_stride: 8, 16 or 32: the ratio of the image's size to the features'.
        multi_grid: factors of the dilation of the last stage's blocks, in turn. The paper's best
            is (1, 2, 4); (1,) changes nothing.
        contract_dilation: True: the first 3x3 of a dilated stage keeps the dilation of the stage
            before, like the strided convolution that it replaces. The dilated network then computes
            the features of the strided one, at more places, as pretrained weights expect. False:
            every 3x3 has the dilation of its stage.
        width: factor of each layer's channels, rounded to a multiple of 8, which processors compute
            at a time.
        stem: "7x7": a 7x7 convolution of stride 2, then max-pooling of stride 2. "3x3": two 3x3
            convolutions of stride 2; there is no skip at stride 2 then.

    Attributes:
        out_channels: channels of the features.
        skip_channels: stride -> channels of the skip at that stride, finest first.
    """

    def __init__(
        self,
        name: str,
        output_stride: int = 8,
        multi_grid: tuple[int, ...] = (1,),
        contract_dilation: bool = True,
        width: float = 1,
        stem: Literal["7x7", "3x3"] = "7x7",
    ) -> None:
        super().__init__()
        block, depths = LAYOUTS[name]
        strides, dilations = STRIDES_AND_DILATIONS[output_stride]
        first_dilations = (1, *dilations[:-1]) if contract_dilation else dilations
        grids = ((1,), (1,), (1,), multi_grid)
        # Input channels of layer1 .. layer4, and channels of the skips at stride 2 .. 16.
        widths = [max(8, 8 * round(width * each / 8)) for each in WIDTHS]
        channels = (widths[0], *(each * block.expansion for each in widths[:-1]))

        self.name = name
        self.output_stride = output_stride
        self.out_channels = widths[-1] * block.expansion
        self.skip_channels = {
            stride: count
            for stride, count in zip((2, 4, 8, 16), channels, strict=True)
            if stride < output_stride and (stride > 2 or stem == "7x7")
        }
        self.conv1: nn.Module
        self.maxpool: nn.Module
        if stem == "7x7":
            self.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            half = widths[0] // 2
            self.conv1 = nn.Sequential(
                ConvNormRelu(3, half, 3, stride=2),
                nn.Conv2d(half, widths[0], 3, stride=2, padding=1, bias=False),
            )
            self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(block, *stage)
            for stage in zip(
                channels, widths, depths, strides, first_dilations, dilations, grids, strict=True
            )
        )
        _initialise(self)

    def forward(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """(B, 3, H, W) -> features (B, out_channels, H/os, W/os), {stride: skip}.

        A skip is (B, skip_channels[stride], H/stride, W/stride). Sizes are rounded up.
        """
        skips = {}
        skips[2] = x = self.relu(self.bn1(self.conv1(image)))  # (B, 64, H/2, W/2); 3x3 stem: H/4
        skips[4] = x = self.layer1(self.maxpool(x))  # (B, 64 or 256, H/4, W/4)
        skips[8] = x = self.layer2(x)  # (B, 128 or 512, H/8, W/8)
        skips[16] = x = self.layer3(x)  # (B, 256 or 1024, H/16, W/16), or denser
        x = self.layer4(x)  # (B, 512 or 2048, H/32, W/32), or denser
        return x, {stride: skips[stride] for stride in self.skip_channels}

    def layers_to(self, stride: int) -> list[nn.Module]:
        """The first layers, up to `stride` in the published network, whose output stride is 32."""
        stages = {4: self.layer1, 8: self.layer2, 16: self.layer3, 32: self.layer4}
        return [self.conv1, self.bn1, *(stages[at] for at in stages if at <= stride)]

    @staticmethod
    def parameter_name(published: str) -> str | None:
        """Our name of a parameter of torchvision's ResNets; None for the classifier's."""
        return None if published.startswith(CLASSIFIER) else published


def _stage(
    block: type[BasicBlock] | type[Bottleneck],
    in_channels: int,
    width: int,
    depth: int,
    stride: int,
    first_dilation: int,
    dilation: int,
    grid: tuple[int, ...],
) -> nn.Sequential:
    """`depth` blocks; the first has the stride, `first_dilation` and the change of channels."""
    blocks = nn.Sequential()
    for unit in itertools.islice(itertools.cycle(grid), depth):
        blocks.append(block(in_channels, width, stride, unit * first_dilation, unit * dilation))
        in_channels = width * block.expansion
        stride = 1
        first_dilation = dilation
    return blocks


def _conv3x3(in_channels: int, out_channels: int, stride: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation, bias=False
    )


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """The identity, or a 1x1 convolution and batch norm if the block changes the shape."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )


def _initialise(encoder: nn.Module) -> None:
    """Keep the gradient's variance constant: He et al., "Delving deep into rectifiers"."""
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
