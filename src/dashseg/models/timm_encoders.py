"""timm's encoders: image (B, 3, H, W) -> features at the output stride, and the skips above it.

Networks that halve the resolution step by step become a `Pyramid`, plain Vision Transformers a
`PlainViT`. Parameters keep timm's names below `network.`.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dashseg.config import EncoderConfig
from dashseg.errors import InputError
from dashseg.models.layers import ConvNormRelu, resize, shapes_only
from dashseg.timm_library import PREFIX, architecture, import_timm

# What timm's networks raise for arguments and images that they do not take.
_TIMMS = (AssertionError, AttributeError, RuntimeError, TypeError, ValueError)
STEM = {2: 32, 4: 64, 8: 128}  # stride -> channels of a plain ViT's skips


def timm_encoder(config: EncoderConfig, strides: Collection[int]) -> Pyramid | PlainViT:
    """Build "timm/NAME" with random weights.

    Args:
        strides: of the skips that the decoder takes.

    Raises:
        InputError: timm is missing or has no such encoder; the encoder gives no features, has
            another output stride, or takes images of one size only.
    """
    name = architecture(config.name)
    with shapes_only():  # to see of what kind it is takes no memory and little time
        kind = create(name)
    if is_plain(kind):
        return PlainViT(name, create(name), config.output_stride, strides)
    return Pyramid(name, config.output_stride)


def create(name: str, **arguments: Any) -> Any:
    """timm's network without its classifier, for images of any size.

    Args:
        arguments: of `timm.create_model`.

    Raises:
        InputError: timm cannot build it with these arguments.
    """
    timm = import_timm()
    ways: tuple[dict[str, bool], ...] = ({},)
    if timm.models.get_pretrained_cfg(name).fixed_input_size:
        ways = ({"dynamic_img_size": True}, {"strict_img_size": False})
    if not arguments.get("features_only"):
        arguments |= {"num_classes": 0, "global_pool": ""}
    for way in ways:
        try:
            return timm.create_model(name, **way, **arguments)
        except TypeError as error:
            problem = error  # it does not have one of the arguments
    if "output_stride" in str(problem):
        raise InputError(
            f"{PREFIX}{name} cannot be dilated: set model.encoder.output_stride to 32, with"
            " decoder gradual for sharp edges"
        ) from problem
    raise InputError(
        f"{PREFIX}{name} takes images of one size only, or gives no features: take another"
    ) from problem


def is_plain(network: nn.Module) -> bool:
    """Whether it is a Vision Transformer with one grid of patches from its first layer to its last.

    timm has two classes for them: DINOv2, DeiT, SigLIP and others are of the one, EVA and DINOv3 of
    the other.
    """
    layers, models = import_timm().layers, import_timm().models
    plain = isinstance(network, (models.VisionTransformer, models.Eva))
    return plain and type(network.patch_embed) is layers.PatchEmbed


class Pyramid(nn.Module):
    """A network of timm's whose features have several strides.

    Images are first resized to multiples of 32 pixels if its maps would otherwise leave out rows
    and columns at their ends.

    Attributes:
        out_channels: channels of the features.
        skip_channels: stride -> channels of the skip at that stride, finest first.

    Raises:
        InputError: as `timm_encoder`.
    """

    def __init__(self, name: str, output_stride: int) -> None:
        super().__init__()
        self.name = PREFIX + name
        self.output_stride = output_stride
        self.arguments: dict[str, Any] = {"features_only": True}
        if output_stride != 32:
            self.arguments["output_stride"] = output_stride
        self._multiple = _multiple_needed(name, self.arguments)
        self.network = create(name, **self.arguments)
        strides = self.network.feature_info.reduction()
        channels = self.network.feature_info.channels()
        if strides[-1] != output_stride:
            raise InputError(
                f"{self.name} has output stride {strides[-1]} and not {output_stride}: set"
                f" model.encoder.output_stride to {strides[-1]}, or take another encoder"
            )
        self.out_channels: int = channels[-1]
        # The last map of each stride; stride 1 would be the image's own size.
        self._skips = {s: i for i, s in enumerate(strides) if 1 < s < output_stride}
        self.skip_channels: dict[int, int] = {s: channels[i] for s, i in self._skips.items()}
        self._published = [2 ** (5 - len(strides) + i + 1) for i in range(len(strides))]
        self._channels_last = _is_channels_last(self.network)

    def forward(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """(B, 3, H, W) -> features (B, out_channels, H/os, W/os), {stride: skip}.

        A skip is (B, skip_channels[stride], H/stride, W/stride). Sizes are rounded up.
        """
        if self._multiple > 1:
            image = to_multiple(image, self._multiple)
        maps = self.network(image)
        if self._channels_last:
            maps = [each.permute(0, 3, 1, 2).contiguous() for each in maps]
        return maps[-1], {stride: maps[index] for stride, index in self._skips.items()}

    def layers_to(self, stride: int) -> list[nn.Module]:
        """The first layers, up to `stride` in the published network, whose output stride is 32."""
        names = self.network.feature_info.module_name()
        ends = [name for name, at in zip(names, self._published, strict=True) if at <= stride]
        if not ends:
            return []
        # "blocks.4" is a child of a child in some of timm's networks and "blocks_4" in others.
        layers: list[nn.Module] = []
        end = ends[-1].replace("_", ".")
        for name, child in self.network.named_children():
            inside = isinstance(child, (nn.Sequential, nn.ModuleList))
            steps = {f"{name}.{i}": step for i, step in enumerate(child)} if inside else {}
            if name.replace("_", ".") != end and end in steps:
                count = list(steps).index(end) + 1
                return [*layers, *list(steps.values())[:count]]
            layers.append(child)
            if name.replace("_", ".") == end:
                return layers
        return layers


class PlainViT(nn.Module):
    """A plain Vision Transformer, with skips from a light convolutional stem.

    Images are first resized to whole patches. Class and register tokens are dropped. The stem is
    the simplest form of ViT-Adapter's: Chen et al., "Vision Transformer Adapter for Dense
    Predictions" (2022).

    Args:
        network: of timm, with the weights to start from.
        output_stride: the patch's side rounded to a power of two.
        strides: of the skips that the decoder takes; the stem ends at the coarsest.

    Attributes:
        out_channels: channels of the features.
        skip_channels: stride -> channels of the skip at that stride, finest first.

    Raises:
        InputError: the patches have another stride.
    """

    arguments: dict[str, Any] = {}  # noqa: RUF012  # of `create`, as a Pyramid's

    def __init__(
        self, name: str, network: Any, output_stride: int, strides: Collection[int]
    ) -> None:
        super().__init__()
        self.name = PREFIX + name
        self.patch: int = network.patch_embed.patch_size[0]
        nearest = min((8, 16, 32), key=lambda stride: abs(stride - self.patch))
        if output_stride != nearest:
            raise InputError(
                f"{self.name} has patches of {self.patch} pixels, which count as output stride"
                f" {nearest}: set model.encoder.output_stride to {nearest}"
            )
        self.output_stride = output_stride
        self.out_channels: int = network.num_features
        self.network: Any = with_positions(network)
        coarsest = max((s for s in strides if s < output_stride), default=0)
        self.skip_channels = {s: width for s, width in STEM.items() if s <= coarsest}
        widths = [3, *self.skip_channels.values()]
        self.stem = nn.ModuleList(
            ConvNormRelu(before, after, 3, stride=2) for before, after in itertools.pairwise(widths)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """(B, 3, H, W) -> features (B, out_channels, H/patch, W/patch), {stride: skip}.

        A skip is (B, skip_channels[stride], h/stride, w/stride) of the image at whole patches,
        (h, w). Sizes are rounded up.
        """
        image = to_multiple(image, self.patch)  # (B, 3, h, w)
        (features,) = self.network.forward_intermediates(
            image, indices=1, norm=True, intermediates_only=True
        )
        skips, x = {}, image
        for stride, layer in zip(self.skip_channels, self.stem, strict=True):
            skips[stride] = x = layer(x)
        return features, skips

    def layers_to(self, stride: int) -> list[nn.Module]:
        """The whole transformer, without the stem, which starts with random weights.

        Raises:
            InputError: `stride` is below the patches': there is no layer of it.
        """
        if stride < self.output_stride:
            raise InputError(
                f"{self.name} has one stride: set optimizer.frozen_stride to {self.output_stride}"
                " to freeze it whole, or to null"
            )
        return [self.network]


class PatchesAtPositions(nn.Module):
    """A patch embedding plus a position embedding that is resized to the image's grid.

    It stands in the place of timm's patch embedding. timm resizes with antialiasing, which ONNX's
    older opsets lack.

    Args:
        position: (1, C, rows, columns), of the grid that the weights were trained with.
    """

    def __init__(self, patches: nn.Module, position: Tensor) -> None:
        super().__init__()
        self.patches: Any = patches
        self.position = nn.Parameter(position)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, H/patch, W/patch, C)."""
        x = self.patches(image)
        position = F.interpolate(self.position, x.shape[1:3], mode="bicubic", align_corners=False)
        return x + position.permute(0, 2, 3, 1)

    def dynamic_feat_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The grid of an image; timm's networks ask for it."""
        grid: tuple[int, int] = self.patches.dynamic_feat_size(size)
        return grid


def with_positions(network: Any) -> nn.Module:
    """Let a plain ViT of timm's resize its position embedding as `PatchesAtPositions`, in place.

    The positions of class and register tokens are added to the tokens.
    """
    if network.pos_embed is None:  # DINOv3 rotates queries and keys instead
        return network
    rows, columns = network.patch_embed.grid_size
    position = network.pos_embed.detach()  # (1, prefix + rows · columns, C)
    prefix = position.shape[1] - rows * columns
    patches = position[:, prefix:].unflatten(1, (rows, columns)).permute(0, 3, 1, 2)
    done = 0
    for token in (network.cls_token, network.reg_token):
        if token is not None and done < prefix:
            with torch.no_grad():
                token += position[:, done : done + token.shape[1]]
            done += token.shape[1]
    network.pos_embed = None
    network.patch_embed = PatchesAtPositions(network.patch_embed, patches.contiguous())
    return network


def to_multiple(image: Tensor, step: int) -> Tensor:
    """Enlarge to the next multiples of `step`: (B, C, H, W) -> (B, C, h, w).

    Not by a border: features would then belong to other places of the image than `resize` takes
    them for.
    """
    return resize(image, [(side + step - 1) // step * step for side in image.shape[-2:]])


def _multiple_needed(name: str, arguments: dict[str, Any]) -> int:
    """1 if a pyramid's maps have the image's size over their strides, rounded up; else 32.

    Convolutions of patches that do not overlap drop what is left over at the ends.

    Raises:
        InputError: it gives no features, or does not take images of any size.
    """
    with shapes_only():  # shapes without values
        try:
            network = create(name, **arguments).eval()
        except _TIMMS as error:
            raise InputError(
                f"{PREFIX}{name} gives no features of several strides: take another encoder"
            ) from error
        strides = network.feature_info.reduction()
        height, width = 65, 97  # one more than multiples of 32
        try:
            sizes = [
                tuple(x.shape[1:3] if _is_channels_last(network) else x.shape[2:])
                for x in network(torch.empty(1, 3, height, width))
            ]
        except _TIMMS:
            sizes = []
        if sizes == [(-(-height // stride), -(-width // stride)) for stride in strides]:
            return 1
        try:
            network(torch.empty(1, 3, 96, 160))
        except _TIMMS as error:
            raise InputError(
                f"{PREFIX}{name} takes images of some sizes only: take another encoder"
            ) from error
    return 32


def _is_channels_last(network: Any) -> bool:
    """Whether its maps are (B, H, W, C)."""
    return str(getattr(network, "output_fmt", "")).endswith("NHWC")
