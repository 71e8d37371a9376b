"""The summary's numbers agree with a count of our own, and taking it changes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dashseg.config import AsppConfig, ModelConfig, load_recipe
from dashseg.models import DeepLabV3, build_model
from dashseg.models.summary import summarise

Build = Callable[..., DeepLabV3]


def count_multiply_adds(model: nn.Module, image: Tensor) -> int:
    """Run `model`; each output value of a convolution took one multiply-add per weight it saw."""
    total = 0

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d)
        seen = module.in_channels // module.groups * math.prod(module.kernel_size)
        total += output.numel() * seen

    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    hooks = [conv.register_forward_hook(count) for conv in convs]
    with torch.no_grad():
        model(image)
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.parametrize(
    ("encoder", "stride", "decoder"),
    [
        ("resnet18", 8, "bilinear"),
        ("resnet34", 32, "gradual"),
        ("resnet50", 16, "gradual"),
        ("resnet18", 16, "mlp"),
    ],
)
def test_totals_are_those_counted_during_a_forward_pass(
    unsettled: Build, encoder: str, stride: int, decoder: str
) -> None:
    model = unsettled(encoder, stride, decoder)
    model.get_submodule("encoder.conv1").requires_grad_(False)
    _, totals = summarise(model, (65, 97))
    assert totals.size == (65, 97)
    assert totals.parameters == sum(p.numel() for p in model.parameters())
    assert totals.trainable == totals.parameters - 3 * 64 * 7 * 7
    counted = count_multiply_adds(model, torch.rand(1, 3, 65, 97))
    assert totals.multiply_adds == pytest.approx(counted, rel=1e-3)


def test_the_original_takes_126_gflop_on_a_comma10k_frame_at_half_size() -> None:
    model = build_model(ModelConfig(aspp=AsppConfig(rates=(6, 12, 18), dropout=0)))
    _, totals = summarise(model, (437, 582))
    assert 2 * totals.multiply_adds == pytest.approx(126e9, rel=0.01)


def test_the_table_has_a_line_for_each_part_with_its_shape(unsettled: Build) -> None:
    table, _ = summarise(unsettled("resnet18", 16, "gradual"), (65, 97))
    lines = table.splitlines()
    for part, shape in {
        "ResNet (encoder)": "[1, 512, 5, 7]",
        "BasicBlock (0)": "[1, 64, 17, 25]",
        "ASPP (aspp)": "[1, 16, 5, 7]",
        "Decoder (decoder)": "[1, 5, 33, 49]",
        "DeepLabV3 (DeepLabV3)": "[1, 5, 65, 97]",
    }.items():
        assert any(part in line and shape in line for line in lines), part
    assert "Units" not in table


def test_taking_a_summary_changes_neither_the_model_nor_the_random_numbers(
    unsettled: Build,
) -> None:
    model = unsettled("resnet18", 8, "gradual").train()
    model.get_submodule("encoder.bn1").eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    summarise(model, (64, 96))
    assert model.training and not model.get_submodule("encoder.bn1").training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(("name", "most"), [("real-time", 1.7e9), ("real-time-l", 2.9e9)])
def test_a_real_time_recipe_keeps_to_its_budget(name: str, most: float) -> None:
    """What docs/results.md times: a recipe that grows needs new figures there."""
    model = load_recipe(name, ["model.encoder.weights=null"]).model
    assert model.input.size == (448, 576)
    _, totals = summarise(build_model(model), (448, 576))
    assert totals.multiply_adds < most
