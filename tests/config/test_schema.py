"""The schema: each key says what it does, and wrong combinations are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest

from dashseg.config import IMAGENET_MEAN, IMAGENET_STD, InputConfig, Recipe
from dashseg.config.section import Section


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
    assert len(names) == 20


def test_imagenets_normalisation_is_the_published_one() -> None:
    # torchvision.transforms' documentation
    assert IMAGENET_MEAN == (0.485, 0.456, 0.406)
    assert IMAGENET_STD == (0.229, 0.224, 0.225)


def test_bgr_means_come_out_as_rgb() -> None:
    assert InputConfig(channels="bgr", mean=(0.1, 0.2, 0.3)).mean_rgb == (0.3, 0.2, 0.1)
    assert InputConfig(channels="rgb", mean=(0.1, 0.2, 0.3)).mean_rgb == (0.1, 0.2, 0.3)
