"""A network takes from another one the layers that fit, and no other."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dashseg.config import load_recipe
from dashseg.errors import InputError
from dashseg.models import DeepLabV3, build_model
from dashseg.models.fitting import fitting_weights

L16, L8, L4 = (f"{{stride: {s}, skip: 4, channels: 8}}" for s in (16, 8, 4))


def network(*levels: str, seed: int = 0, **encoder: Any) -> DeepLabV3:
    """A small network; other seeds give other values to every weight, norms and counters too."""
    changes = [f"model.encoder.{key}={value}" for key, value in encoder.items()]
    recipe = load_recipe(
        None,
        [
            "model.encoder.width=0.125", "model.encoder.output_stride=32", "model.aspp.channels=8",
            "model.decoder.name=gradual", f"model.decoder.levels=[{', '.join(levels)}]", *changes,
        ],
    )  # fmt: skip
    torch.manual_seed(seed)
    built = build_model(recipe.model)
    for value in built.state_dict().values():
        value.copy_(torch.rand(value.shape) + 1 if value.is_floating_point() else value + seed + 1)
    return built


def below(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    return {k.removeprefix(prefix): value for k, value in state.items() if k.startswith(prefix)}


def same(mine: dict[str, Any], theirs: dict[str, Any], prefix: str, as_prefix: str = "") -> bool:
    """Whether all weights below a prefix are those below another one."""
    found, given = below(prefix, mine), below(as_prefix or prefix, theirs)
    assert found and found.keys() == given.keys()
    return all(torch.equal(found[key], given[key]) for key in found)


def test_a_further_level_starts_with_random_weights_and_all_else_with_the_models() -> None:
    own, start = network(L8, L4), network(L8, seed=1)
    state, random = fitting_weights(own, start)
    assert random == ["decoder.levels.1.project", "decoder.levels.1.convs.0"]
    theirs = start.state_dict()
    for part in ("encoder.", "aspp.", "decoder.levels.0.", "decoder.classifier."):
        assert same(state, theirs, part)
    assert same(state, own.state_dict(), "decoder.levels.1.")


def test_levels_are_matched_by_their_stride_and_not_by_their_number() -> None:
    own, start = network(L16, L8, L4), network(L8, L4, seed=1)
    state, random = fitting_weights(own, start)
    assert random == ["decoder.levels.0.project", "decoder.levels.0.convs.0"]
    theirs = start.state_dict()
    assert same(state, theirs, "decoder.levels.1.", "decoder.levels.0.")
    assert same(state, theirs, "decoder.levels.2.", "decoder.levels.1.")
    assert same(state, own.state_dict(), "decoder.levels.0.")


def test_a_convolution_and_its_norm_are_taken_together_or_not_at_all() -> None:
    wider = L16.replace("channels: 8", "channels: 16")
    own, start = network(wider, L8), network(L16, L8, seed=1)
    state, random = fitting_weights(own, start)
    # At stride 8 the convolution has more inputs, and the norm behind it the same shape.
    assert random == ["decoder.levels.0.convs.0", "decoder.levels.1.convs.0"]
    assert same(state, own.state_dict(), "decoder.levels.1.convs.0.")
    assert same(state, start.state_dict(), "decoder.levels.1.project.")
    own.load_state_dict(state)  # it is whole


def test_layers_to_leave_out_keep_their_own_values() -> None:
    own, start = network(L8), network(L8, seed=1)
    state, random = fitting_weights(own, start, ["decoder.classifier"])
    assert random == ["decoder.classifier"]
    assert same(state, own.state_dict(), "decoder.classifier.")


@pytest.mark.parametrize("encoder", [{"width": 0.25}, {"name": "resnet34"}])
@pytest.mark.parametrize("turned", [False, True])
def test_another_encoder_is_an_error(encoder: dict[str, Any], turned: bool) -> None:
    networks = [network(L8), network(L8, **encoder)]
    own, start = reversed(networks) if turned else networks
    with pytest.raises(InputError, match="another encoder"):
        fitting_weights(own, start)


@pytest.mark.usefixtures("timm")
def test_a_plain_vit_keeps_its_transformer_where_its_stem_is_deeper() -> None:
    vit: dict[str, Any] = {"name": "timm/test_vit", "output_stride": 16, "width": 1}
    own, start = network(L8, L4, **vit), network(L4, seed=1, **vit)
    state, random = fitting_weights(own, start)
    assert "encoder.stem.2" in random and "encoder.stem.1" not in random
    assert same(state, start.state_dict(), "encoder.network.")


def test_the_projections_of_an_mlp_decoder_are_matched_by_stride() -> None:
    changes = {"name": "mlp", "channels": 8}
    built = []
    for seed, stride in ((0, 4), (1, 8)):
        recipe = load_recipe(
            None,
            [
                "model.encoder.width=0.125", "model.encoder.output_stride=32",
                "model.aspp.channels=8", f"model.decoder.stride={stride}",
                *(f"model.decoder.{key}={value}" for key, value in changes.items()),
            ],
        )  # fmt: skip
        torch.manual_seed(seed)
        built.append(build_model(recipe.model))
    own, start = built  # strides 16, 8, 4 and 16, 8
    state, random = fitting_weights(own, start)
    assert random == ["decoder.projections.3", "decoder.mix"]
    for number in range(3):
        assert same(state, start.state_dict(), f"decoder.projections.{number}.")
