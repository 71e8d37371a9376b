"""The second prediction teaches the encoder, and leaves no trace in the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import dashseg
from dashseg.config import Recipe, load_recipe
from dashseg.errors import InputError
from dashseg.labels import COMMA10K
from dashseg.models import build_model
from dashseg.training.objective import Objective
from dashseg.training.run import resume_run, train_run
from dashseg.training.supervision import AuxiliaryHead

SUPERVISED = ("loss.auxiliary=0.4", "evaluation.run=false")


@pytest.mark.parametrize("encoder", ["resnet18", "resnet50", "efficientnet_lite0"])
def test_the_head_predicts_from_the_last_stage_but_one(encoder: str) -> None:
    recipe = load_recipe(None, [f"model.encoder.name={encoder}", "model.encoder.output_stride=16"])
    network = build_model(recipe.model).train()
    head = AuxiliaryHead(network, 5)
    seen = []
    network.encoder.layers_to(16)[-1].register_forward_hook(lambda m, i, o: seen.append(o))
    network(torch.randn(2, 3, 64, 96))
    logits = head()
    assert logits.shape == (2, 5, 4, 6)
    assert seen[0].shape[2:] == (4, 6)
    assert torch.allclose(logits, head.head(seen[0]), atol=1e-5)
    with pytest.raises(AssertionError, match="not been run"):
        head()  # each batch is predicted once


def test_its_weighted_loss_is_added_and_trains_the_encoder(
    tiny_recipe: Callable[..., Recipe],
) -> None:
    recipe = tiny_recipe(*SUPERVISED)
    torch.manual_seed(0)
    module = Objective(build_model(recipe.model), recipe.loss, 5).train()
    assert module.auxiliary is not None
    label = torch.randint(0, 5, (2, 64, 96))
    with torch.no_grad():  # a network whose own prediction is sure and right teaches nothing
        module.network.decoder.classifier.weight.zero_()
        assert module.network.decoder.classifier.bias is not None
        module.network.decoder.classifier.bias.copy_(torch.tensor([500.0, 0, 0, 0, 0]))
    zeros = torch.zeros_like(label)
    image = torch.randn(2, 3, 64, 96)
    logits = module.network(image)
    main, second = module.loss(logits, zeros), module.loss(module.auxiliary(), zeros)
    assert main.item() == 0 and second.item() > 0
    total = module(image, zeros)
    assert total.item() == pytest.approx(recipe.loss.auxiliary * second.item(), rel=1e-4)
    total.backward()
    stem = module.network.get_parameter("encoder.conv1.weight").grad
    assert stem is not None and stem.abs().sum() > 0


def test_validation_and_the_model_do_not_contain_the_head(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe]
) -> None:
    whole = train_run(tiny_recipe(*SUPERVISED), tmp_path / "whole")
    weights = load_file(whole.model / "model.safetensors")
    assert not [name for name in weights if "auxiliary" in name or name.startswith("head")]
    assert dashseg.load(str(whole.root)).classes.names == COMMA10K.names
    train_run(tiny_recipe(*SUPERVISED, "training.epochs=1"), tmp_path / "parts")
    parts = resume_run(tmp_path / "parts", ["training.epochs=2"])
    first = torch.load(whole.last, weights_only=True)["model"]
    second = torch.load(parts.last, weights_only=True)["model"]
    assert first.keys() == second.keys()
    assert any(name.startswith("auxiliary.") for name in first)


def test_a_compiled_network_with_the_head_is_an_error() -> None:
    with pytest.raises(InputError, match=r"training\.compile"):
        load_recipe(None, ["loss.auxiliary=0.4", "training.compile=true"])
