"""The schema: each key says what it does, and wrong combinations are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest

from dashseg.config import IMAGENET_MEAN, IMAGENET_STD, InputConfig, Recipe, load_recipe
from dashseg.config.read import override_recipe
from dashseg.config.section import Section
from dashseg.errors import InputError


def sections(of: type[Section]) -> Iterator[type[Section]]:
    """A section and all within it, also those that are items of lists."""
    yield of
    for field in of.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from sections(kind)


@pytest.mark.parametrize("section", list(sections(Recipe)), ids=lambda section: section.__name__)
def test_every_key_and_every_section_says_what_it_does(section: type[Section]) -> None:
    assert section.__doc__ and section.__doc__ != Section.__doc__
    for key, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            assert field.description is None, f"{key}: its section's docstring describes it"
        else:
            assert field.description and field.description.endswith("."), key
            # Redirected into a file, --print-recipe must be readable in every encoding.
            assert field.description.isascii(), key


def test_all_sections_are_found() -> None:
    names = {section.__name__ for section in sections(Recipe)}
    assert {"LossTerm", "ExtraData", "DecoderLevel", "NightConfig", "DataConfig"} <= names
    assert len(names) == 24


def test_imagenets_normalisation_is_the_published_one() -> None:
    # torchvision.transforms' documentation
    assert IMAGENET_MEAN == (0.485, 0.456, 0.406)
    assert IMAGENET_STD == (0.229, 0.224, 0.225)


def test_bgr_means_come_out_as_rgb() -> None:
    assert InputConfig(channels="bgr", mean=(0.1, 0.2, 0.3)).mean_rgb == (0.3, 0.2, 0.1)
    assert InputConfig(channels="rgb", mean=(0.1, 0.2, 0.3)).mean_rgb == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    "override",
    [
        "model.input.size=[1000000, 1000000]",
        "model.aspp.channels=1000000000",
        "model.aspp.rates=[1, 2, 1000000]",
        "model.encoder.multi_grid=[100000]",
        "model.decoder.levels=[{stride: 8, skip: 48, channels: 1000000000}]",
        "model.decoder.levels=[{stride: 8, skip: 1000000000, channels: 48}]",
        "model.decoder.levels=[{stride: 8, skip: 48, channels: 48, convs: 10000000}]",
        "model.num_classes=255",
        "training.batch_size=1000000000000",
        "training.accumulate=1000000000000",
        "data.workers=1000000",
        "data.repeat=1000000000",
        "data.extra=[{root: a, repeat: 1000000000}]",
        "augment.crop=[1000000, 64]",
        "augment.scale=[1, 1e300]",
        "augment.blur_sigma=[1, 1e6]",
        "augment.dropout.holes=1000000000",
        "evaluation.examples=1000000000",
    ],
)
def test_a_huge_value_is_refused_where_it_is_read(override: str) -> None:
    key = override.partition("=")[0]
    with pytest.raises(InputError, match=rf"{key}[a-z.]*: Input should be less than or equal to"):
        load_recipe("demo", [override])


VIT = ["model.encoder.name=timm/vit_base_patch16_224.augreg_in1k", "model.encoder.output_stride=16"]


@pytest.mark.usefixtures("timm")
def test_a_timm_encoder_with_weights_sets_the_normalisation_that_is_not_set() -> None:
    weighted = [*VIT, "model.encoder.weights=pretrained"]
    half = (0.5, 0.5, 0.5)
    found = load_recipe(None, weighted).model.input
    assert (found.mean, found.std) == (half, half)
    assert found.size == InputConfig().size
    kept = load_recipe(None, [*weighted, "model.input.mean=[0.1, 0.2, 0.3]"]).model.input
    assert (kept.mean, kept.std) == ((0.1, 0.2, 0.3), half)
    bgr = [*weighted, "model.input.channels=bgr", "model.encoder.name=timm/resnet18"]
    assert load_recipe(None, bgr).model.input.mean == IMAGENET_MEAN[::-1]


@pytest.mark.usefixtures("timm")
def test_overrides_of_a_recipe_set_the_normalisation_as_in_a_recipes_text() -> None:
    weights, resnet = "model.encoder.weights=pretrained", "model.encoder.name=timm/resnet18"
    size = "model.input.size=[64, 96]"
    recipe = override_recipe(load_recipe(None, [size]), [*VIT, weights])
    assert recipe.model.input == load_recipe(None, [size, *VIT, weights]).model.input
    assert recipe.model.input.mean == (0.5, 0.5, 0.5)
    assert override_recipe(recipe, [resnet]).model.input.mean == IMAGENET_MEAN
    own = override_recipe(recipe, ["model.input.mean=[0.1, 0.2, 0.3]"])
    assert override_recipe(own, [resnet]).model.input.mean == (0.1, 0.2, 0.3)


def test_without_weights_and_once_recorded_the_normalisation_is_as_it_stands() -> None:
    recipe = load_recipe(None, VIT)  # timm is not needed
    assert recipe.model.input == InputConfig()
    recorded = recipe.model.model_dump()
    recorded["encoder"]["weights"] = "weights.pth"
    assert type(recipe.model).model_validate(recorded).input == InputConfig()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.encoder.name=mobilenetv4_conv_small", "or timm/NAME of timm"),
        ("model.encoder.name=timm/../x", "model.encoder.name"),
    ],
)
def test_another_name_of_an_encoder_is_refused(override: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_recipe(None, [override])


def test_what_timm_encoders_lack_is_refused() -> None:
    for wrong in ("model.encoder.width=0.5", "loss.auxiliary=0.4"):
        with pytest.raises(InputError, match=r"for ResNets|not for timm"):
            load_recipe(None, [*VIT, wrong])
