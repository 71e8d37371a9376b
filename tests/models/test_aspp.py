"""The pyramid's branches, and training it on one image at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from dashseg.config import EncoderConfig, ModelConfig
from dashseg.models import build_model
from dashseg.models.aspp import ASPP, ImagePooling


@pytest.mark.parametrize(
    ("stride", "rates"), [(8, (12, 24, 36)), (16, (6, 12, 18)), (32, (3, 6, 9))]
)
def test_rates_reach_equally_far_in_the_image_at_every_output_stride(
    stride: Any, rates: tuple[int, int, int]
) -> None:
    model = build_model(ModelConfig(encoder=EncoderConfig(output_stride=stride)))
    dilations = [m.dilation[0] for m in model.aspp.modules() if isinstance(m, nn.Conv2d)]
    assert dilations == [1, *rates, 1, 1]


def test_convolutions_before_a_norm_have_no_bias() -> None:
    convs = [m for m in ASPP(8, 4, (1, 2, 3), 0.1).modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 6
    assert all(conv.bias is None for conv in convs)


def test_every_pixel_is_told_the_mean_of_its_own_image() -> None:
    branch = ImagePooling(3, 4).eval()
    features = torch.rand(2, 3, 5, 7)
    told = branch(features)
    assert told.shape == (2, 4, 5, 7)
    weight = branch.conv.weight[:, :, 0, 0]
    expected = torch.relu(features.mean(dim=(2, 3)) @ weight.T / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(told, expected[:, :, None, None].expand(2, 4, 5, 7))


def test_one_image_in_training_is_normalised_by_the_running_statistics() -> None:
    branch = ImagePooling(3, 4)
    assert branch.norm.running_mean is not None
    nn.init.constant_(branch.norm.running_mean, 0.25)
    features = torch.rand(1, 3, 5, 7)
    trained = branch.train()(features)
    assert branch.norm.running_mean.eq(0.25).all()
    torch.testing.assert_close(trained, branch.eval()(features))


def test_two_images_in_training_are_normalised_by_their_own_statistics() -> None:
    branch = ImagePooling(3, 4)
    assert branch.norm.running_mean is not None
    told = branch.train()(torch.rand(2, 3, 5, 7))[:, :, 0, 0]
    # Of two values, normalised, one is at most 0 and the other its opposite.
    assert told.min(dim=0).values.eq(0).all()
    assert branch.norm.running_mean.ne(0).all()


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("synchronised", [False, True])
def test_a_gradient_reaches_every_parameter(batch: int, synchronised: bool) -> None:
    torch.manual_seed(0)
    aspp: nn.Module = ASPP(6, 8, (1, 2, 3), 0.1)
    if synchronised:
        aspp = nn.SyncBatchNorm.convert_sync_batchnorm(aspp)
        assert sum(isinstance(m, nn.SyncBatchNorm) for m in aspp.modules()) == 6
    aspp.train()(torch.rand(batch, 6, 9, 11)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in aspp.parameters())


def test_no_dropout_makes_training_repeatable() -> None:
    aspp = ASPP(6, 8, (1, 2, 3), dropout=0.0).train()
    features = torch.rand(2, 6, 9, 11)
    torch.testing.assert_close(aspp(features), aspp(features))
