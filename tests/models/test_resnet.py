"""The encoder has the published ResNets' names, sizes and skips; dilation only makes it denser."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from dashseg.errors import InputError
from dashseg.models.resnet import ResNet
from dashseg.models.weights import load_encoder_weights

DEPTHS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
}
# Published parameter counts less the classifier's 1000 x (512 or 2048) weights and 1000 biases.
PARAMETERS = {
    "resnet18": 11_689_512 - 513_000,
    "resnet34": 21_797_672 - 513_000,
    "resnet50": 25_557_032 - 2_049_000,
    "resnet101": 44_549_160 - 2_049_000,
}
BOTTLENECKS = ("resnet50", "resnet101")


def torchvision_names(name: str) -> set[str]:
    """The keys of torchvision's state dict, without the classifier's."""

    def norm(prefix: str) -> set[str]:
        fields = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        return {f"{prefix}.{field}" for field in fields}

    names = {"conv1.weight"} | norm("bn1")
    for stage, depth in enumerate(DEPTHS[name], start=1):
        for block in range(depth):
            prefix = f"layer{stage}.{block}"
            for conv in (1, 2, 3) if name in BOTTLENECKS else (1, 2):
                names |= {f"{prefix}.conv{conv}.weight"} | norm(f"{prefix}.bn{conv}")
            if block == 0 and (stage > 1 or name in BOTTLENECKS):
                names |= {f"{prefix}.downsample.0.weight"} | norm(f"{prefix}.downsample.1")
    return names


def dilations(stage: nn.Module) -> list[int]:
    """Of each 3x3 convolution, in order."""
    return [
        module.dilation[0]
        for module in stage.modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]


@pytest.mark.parametrize("name", DEPTHS)
def test_parameters_have_the_published_names_and_number(name: str) -> None:
    encoder = ResNet(name)
    assert set(encoder.state_dict()) == torchvision_names(name)
    assert sum(p.numel() for p in encoder.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", DEPTHS)
@pytest.mark.parametrize("stride", [8, 16, 32])
@torch.no_grad()
def test_features_and_skips_have_the_strides_and_channels_promised(name: str, stride: int) -> None:
    height, width = 65, 97
    encoder = ResNet(name, output_stride=stride).eval()
    features, skips = encoder(torch.rand(1, 3, height, width))

    def at(stride: int) -> tuple[int, int]:
        return -(-height // stride), -(-width // stride)

    widest = 2048 if name in BOTTLENECKS else 512
    assert encoder.output_stride == stride
    assert encoder.out_channels == widest
    assert features.shape == (1, widest, *at(stride))
    assert list(skips) == [s for s in (2, 4, 8, 16) if s < stride]
    assert encoder.skip_channels == {s: skip.shape[1] for s, skip in skips.items()}
    assert all(skip.shape[2:] == at(s) for s, skip in skips.items())


@pytest.mark.parametrize(
    ("width", "channels"), [(0.5, (32, 64, 128, 256)), (0.3, (16, 40, 80, 152))]
)
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@torch.no_grad()
def test_width_scales_every_layer_to_a_multiple_of_8(
    name: str, width: float, channels: tuple[int, ...]
) -> None:
    expansion = 4 if name in BOTTLENECKS else 1
    encoder = ResNet(name, output_stride=32, width=width).eval()
    features, skips = encoder(torch.rand(1, 3, 65, 97))
    stem, *stages = channels[0], *(expansion * each for each in channels)
    assert [skip.shape[1] for skip in skips.values()] == [stem, *stages[:-1]]
    assert features.shape == (1, stages[-1], 3, 4)
    assert (encoder.skip_channels[4], encoder.out_channels) == (stages[0], stages[-1])
    assert set(encoder.state_dict()) == torchvision_names(name)
    narrow = {m.out_channels for m in encoder.modules() if isinstance(m, nn.Conv2d)}
    assert narrow == {*channels, *stages}


def test_a_narrow_resnet18_has_the_parameters_of_its_formula() -> None:
    def stage(before: int, width: int) -> int:
        shortcut = before * width + 2 * width if before != width else 0
        return 9 * before * width + 27 * width * width + 8 * width + shortcut

    stem = 3 * 49 * 32 + 2 * 32
    expected = stem + stage(32, 32) + stage(32, 64) + stage(64, 128) + stage(128, 256)
    assert sum(p.numel() for p in ResNet("resnet18", width=0.5).parameters()) == expected


@pytest.mark.parametrize(
    ("name", "stride", "multi_grid"),
    [("resnet18", 8, (1,)), ("resnet18", 16, (1, 2, 4)), ("resnet50", 8, (1, 2, 4))],
)
@torch.no_grad()
def test_the_dilated_encoder_computes_the_strided_ones_features_only_denser(
    name: str, stride: int, multi_grid: tuple[int, ...]
) -> None:
    image = torch.randn(1, 3, 71, 99, dtype=torch.double)
    strided = ResNet(name, 32, multi_grid).double().eval()
    dilated = ResNet(name, stride, multi_grid).double().eval()
    dilated.load_state_dict(strided.state_dict())
    step = 32 // stride
    dense, sparse = dilated(image)[0], strided(image)[0]
    torch.testing.assert_close(dense[..., ::step, ::step], sparse, rtol=1e-9, atol=1e-9)


def test_uncontracted_stages_have_their_own_dilation_throughout() -> None:
    encoder = ResNet("resnet18", output_stride=8, contract_dilation=False)
    assert dilations(encoder.layer3) == [2, 2, 2, 2]
    assert dilations(encoder.layer4) == [4, 4, 4, 4]


def test_contracted_stages_begin_with_the_dilation_before() -> None:
    encoder = ResNet("resnet18", output_stride=8)
    assert dilations(encoder.layer3) == [1, 2, 2, 2]
    assert dilations(encoder.layer4) == [2, 4, 4, 4]


def test_multi_grid_multiplies_the_last_stage_block_by_block() -> None:
    encoder = ResNet("resnet50", output_stride=16, multi_grid=(1, 2, 4), contract_dilation=False)
    assert dilations(encoder.layer3) == [1] * 6
    assert dilations(encoder.layer4) == [2, 4, 8]


def test_convolutions_start_with_the_variance_that_relus_keep() -> None:
    torch.manual_seed(0)
    for module in ResNet("resnet18").modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


@pytest.mark.parametrize("size", [(64, 96), (65, 99)])
def test_the_3x3_stem_has_the_sizes_of_the_7x7_stem_and_no_skip_at_stride_2(
    size: tuple[int, int],
) -> None:
    image = torch.randn(1, 3, *size)
    usual, skips = ResNet("resnet18", 32, width=0.25).eval()(image)
    encoder = ResNet("resnet18", 32, width=0.25, stem="3x3").eval()
    features, own = encoder(image)
    assert features.shape == usual.shape
    assert 2 in skips and {k: v.shape for k, v in own.items()} == {
        k: v.shape for k, v in skips.items() if k > 2
    }
    # 3x3 of 3 -> 8 and of 8 -> 16 channels, and the first's norm, in place of 7x7 of 3 -> 16.
    difference = 27 * 8 + 72 * 16 + 2 * 8 - 147 * 16
    count = {
        stem: sum(p.numel() for p in ResNet("resnet18", 32, width=0.25, stem=stem).parameters())
        for stem in ("7x7", "3x3")
    }
    assert count["3x3"] - count["7x7"] == difference


def test_published_weights_do_not_fit_the_3x3_stem(tmp_path: Path) -> None:
    torch.save(ResNet("resnet18").state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(InputError, match="conv1"):
        load_encoder_weights(ResNet("resnet18", stem="3x3"), str(tmp_path / "resnet18.pth"))
