"""What is frozen does not move in a step, and all else does."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from dashseg.config import Recipe
from dashseg.errors import InputError
from dashseg.models import build_model
from dashseg.training.freezing import freeze
from dashseg.training.objective import Objective
from dashseg.training.optimization import build_optimizer

FROZEN = {  # at stride 8: names within the encoder
    "resnet18": ("conv1", "bn1", "layer1", "layer2"),
    "efficientnet_lite0": ("conv_stem", "bn0", *(f"blocks.{i}" for i in range(5))),
}


def moved(recipe) -> set[str]:
    """Names of parameters and statistics that one step of training changes."""
    torch.manual_seed(0)
    network = build_model(recipe.model)
    objective = Objective(network, recipe.loss, 5).train()
    freeze(network.encoder, recipe.optimizer)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    image, label = torch.randn(4, 3, 64, 96), torch.randint(5, (4, 64, 96))
    optimizer = build_optimizer(network, recipe.optimizer)
    objective(image, label).backward()
    optimizer.step()
    after = network.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("encoder", FROZEN)
def test_layers_down_to_a_stride_keep_weights_and_statistics(
    tiny_recipe: Callable[..., Recipe], encoder: Any
) -> None:
    recipe = tiny_recipe(
        f"model.encoder.name={encoder}", "model.encoder.width=1", "optimizer.frozen_stride=8"
    )
    names = set(build_model(recipe.model).state_dict())
    frozen = {
        name
        for name in names
        if name.startswith(tuple(f"encoder.{part}." for part in FROZEN[encoder]))
    }
    assert moved(recipe) == names - frozen


def test_frozen_norms_keep_weights_and_statistics_and_convolutions_learn(
    tiny_recipe: Callable[..., Recipe],
) -> None:
    recipe = tiny_recipe("optimizer.frozen_norms=true")
    model = build_model(recipe.model)
    norms = {
        f"{name}.{key}"
        for name, module in model.get_submodule("encoder").named_modules(prefix="encoder")
        if isinstance(module, nn.BatchNorm2d)
        for key in module.state_dict()
    }
    assert len(norms) == 20 * 5  # ResNet-18 has 20 norms of 5 entries
    assert moved(recipe) == set(model.state_dict()) - norms


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("optimizer.frozen_stride=2", "timm/test_convnext has no layers down to stride 2"),
        ("optimizer.frozen_norms=true", "timm/test_convnext has no batch norms"),
    ],
)
def test_a_setting_that_would_freeze_nothing_is_an_error(
    tiny_recipe: Callable[..., Recipe], setting: str, problem: str
) -> None:
    encoder = "model.encoder={name: timm/test_convnext, output_stride: 32}"
    recipe = tiny_recipe(encoder, setting)
    with pytest.raises(InputError, match=problem):
        freeze(build_model(recipe.model).encoder, recipe.optimizer)
