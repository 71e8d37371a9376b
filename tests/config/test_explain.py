"""The printed recipe: every key with its description, and the same recipe when read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dashseg.config import Recipe, change_recipe, explain_recipe, load_recipe, recipe_names
from dashseg.config.explain import Schema, item_keys, recipe_schema, values_of


def comments(text: str) -> str:
    """The comments of a printed recipe as one line, for texts that are wrapped."""
    lines = (line.strip() for line in text.splitlines())
    return " ".join(" ".join(line for line in lines if line.startswith("#")).split()).replace(
        "# ", ""
    )


CHANGES = ["training.epochs=3", "augment.scale=[0.5, 2]", "model.input.size=null",
           "data.root='a: b #c'", "loss.class_weights=[1, 2.5, 1e-7, 4, 5]",
           "loss.terms=[{name: ohem, keep: 0.2}, {name: focal, gamma: 0}]",
           "data.extra=[{root: Zürich, take: all}, {root: 'synthetic:3'}]",
           "training.loggers=[]", "training.gradient_clip=null"]  # fmt: skip


@pytest.mark.parametrize("changes", [[], CHANGES], ids=["as shipped", "changed"])
@pytest.mark.parametrize("name", recipe_names())
def test_the_printed_recipe_is_read_back_as_it_was(
    name: str, changes: list[str], tmp_path: Path
) -> None:
    recipe = load_recipe(name, changes)
    text = explain_recipe(recipe)
    (tmp_path / "printed.yaml").write_text(text, encoding="ascii")
    assert load_recipe(tmp_path / "printed.yaml") == recipe


def test_every_key_is_printed_with_its_description() -> None:
    text = explain_recipe(Recipe())
    said = comments(text)

    def check(knobs: dict[str, Schema], printed: dict[str, Any]) -> None:
        assert list(knobs) == list(printed)
        for key, knob in knobs.items():
            assert " ".join(knob["description"].split()) in said, key
            if "properties" in knob:
                check(knob["properties"], printed[key])
            for item, own in item_keys(knob).items():
                assert f"{item}: {' '.join(own['description'].split())}" in said

    check(recipe_schema()["properties"], yaml.safe_load(text))


def test_comments_fit_into_100_columns() -> None:
    text = explain_recipe(load_recipe("small"))
    assert max(len(line) for line in text.splitlines() if line.lstrip().startswith("#")) <= 100


def test_only_a_value_that_differs_shows_its_default() -> None:
    assert "  # Passes over the training frames. (integer >= 1)\n" in explain_recipe(Recipe())
    recipe = change_recipe(Recipe(), training={"epochs": 3}, loss={"terms": [{"name": "dice"}]})
    lines = explain_recipe(recipe).splitlines()
    epochs = lines.index("  epochs: 3")
    assert lines[epochs - 1] == "  # Passes over the training frames. (integer >= 1; default: 50)"
    assert "(default: [{name: cross_entropy}])" in comments("\n".join(lines))
    terms = lines.index("  terms:")
    assert lines[terms + 1] == "  - {name: dice}"


@pytest.mark.parametrize(
    ("section", "key", "values"),
    [
        ("training", "epochs", "integer >= 1"),
        ("training", "seed", "integer >= 0 and < 4294967296"),
        ("training", "gradient_clip", "number > 0, or null"),
        ("training", "compile", "true or false"),
        ("training", "loggers", "list of tensorboard, wandb or mlflow"),
        ("augment", "flip", "number from 0 to 1"),
        ("augment", "crop", "list of 2 integers from 32 to 8192, or null"),
        ("augment", "scale", "list of 2 numbers <= 10000"),
        ("optimizer", "frozen_stride", "2, 4, 8, 16, 32 or null"),
        ("optimizer", "name", "adamw or adam"),
        ("data", "split", "path, or null"),
        ("data", "val_sequences", "list of text"),
        ("loss", "class_weights", "none, enet or median_frequency, or list of numbers"),
    ],
)
def test_values_are_told_in_words(section: str, key: str, values: str) -> None:
    assert values_of(recipe_schema()["properties"][section]["properties"][key]) == values
