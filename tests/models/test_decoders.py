"""Which levels a decoder has, and what it asks of the encoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from dashseg.config import DecoderConfig, DecoderLevel, EncoderConfig, ModelConfig
from dashseg.errors import InputError
from dashseg.models import build_model
from dashseg.models.decoders import Decoder, MlpDecoder
from dashseg.models.layers import resize

SKIPS = {2: 64, 4: 64, 8: 128}  # ResNet-18's at output stride 16
GRADUAL = DecoderConfig(name="gradual").levels


def skips(height: int, width: int) -> dict[int, torch.Tensor]:
    return {s: torch.rand(2, c, -(-height // s), -(-width // s)) for s, c in SKIPS.items()}


def test_without_levels_it_is_a_classifier() -> None:
    decoder = Decoder(256, SKIPS, (), num_classes=5)
    assert sum(p.numel() for p in decoder.parameters()) == 256 * 5 + 5
    assert decoder(torch.rand(2, 256, 5, 7), skips(65, 97)).shape == (2, 5, 5, 7)


def test_the_default_levels_end_at_half_the_images_size() -> None:
    decoder = Decoder(256, SKIPS, GRADUAL, num_classes=5)
    assert decoder(torch.rand(2, 256, 5, 7), skips(65, 97)).shape == (2, 5, 33, 49)


def test_levels_that_the_context_is_as_fine_as_are_left_out() -> None:
    fine = {stride: SKIPS[stride] for stride in (2, 4)}
    decoder = Decoder(256, fine, GRADUAL, num_classes=5)
    assert decoder.strides == [4, 2]


def test_one_level_at_stride_4_is_deeplabv3_plus() -> None:
    plus = (DecoderLevel(stride=4, skip=48, channels=256, convs=2),)
    decoder = Decoder(256, SKIPS, plus, num_classes=5)
    convs = [m for m in decoder.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size[0]) for c in convs] == [
        (64, 48, 1),
        (256 + 48, 256, 3),
        (256, 256, 3),
        (256, 5, 1),
    ]
    assert decoder(torch.rand(2, 256, 5, 7), skips(65, 97)).shape == (2, 5, 17, 25)


def test_a_level_without_a_skip_needs_the_skips_size_only() -> None:
    bare = (DecoderLevel(stride=4, skip=0, channels=8),)
    decoder = Decoder(16, SKIPS, bare, num_classes=5).eval()
    context, one, other = torch.rand(2, 16, 5, 7), skips(65, 97), skips(65, 97)
    torch.testing.assert_close(decoder(context, one), decoder(context, other))


@pytest.mark.parametrize("strides", [(2, 4), (4, 4)])
def test_levels_that_do_not_go_from_coarse_to_fine_are_an_error(strides: tuple[Any, ...]) -> None:
    levels = [DecoderLevel(stride=stride, skip=8, channels=8) for stride in strides]
    with pytest.raises(InputError, match="coarse to fine"):
        Decoder(256, SKIPS, levels, num_classes=5)


@torch.no_grad()
def test_the_mlp_decoder_is_one_linear_map_of_each_scale_up_to_the_norm() -> None:
    decoder = MlpDecoder(16, SKIPS, 6, num_classes=5).double().eval()
    scales = {16: torch.rand(2, 16, 5, 7).double()}
    scales |= {stride: x.double() for stride, x in skips(65, 97).items()}
    convolution, norm, _ = decoder.mix
    assert isinstance(convolution, nn.Conv2d)
    mixed = torch.zeros(2, 6, 33, 49).double()
    for number, stride in enumerate((16, 8, 4, 2)):
        mixing = convolution.weight[:, 6 * number : 6 * number + 6, 0, 0]
        project = decoder.projections[number]
        assert isinstance(project, nn.Conv2d)
        assert project.bias is not None
        x = torch.einsum("oc,bchw->bohw", mixing @ project.weight[..., 0, 0], scales[stride])
        mixed += resize(x + (mixing @ project.bias)[:, None, None], (33, 49))
    expected = decoder.classifier(norm(mixed).relu())
    torch.testing.assert_close(decoder(scales[16], scales), expected)


@pytest.mark.parametrize(("stride", "taken"), [(2, [8, 4, 2]), (4, [8, 4]), (16, [])])
def test_the_mlp_decoder_takes_skips_down_to_its_stride(stride: Any, taken: list[int]) -> None:
    decoder = DecoderConfig(name="mlp", channels=8, stride=stride)
    model = build_model(ModelConfig(encoder=EncoderConfig(output_stride=16), decoder=decoder))
    assert isinstance(model.decoder, MlpDecoder)
    assert model.decoder.strides == taken
    assert model.coarse_logits(torch.rand(2, 3, 65, 97)).shape[2] == -(-65 // stride)
