"""`dashseg summary`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from dashseg.cli import options
from dashseg.errors import InputError


def summary(
    model: Annotated[
        str | None, typer.Argument(help="A run, a model directory, small, or a hub id owner/name.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Name of a shipped recipe, or a .yaml file.")
    ] = None,
    size: Annotated[str | None, typer.Option("--size", help="Input size HxW in pixels.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the recipe: --set model.encoder.name=resnet50."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show a network's layers, shapes, parameters and multiply-adds."""
    from dashseg.config import SMALLEST_SIDE, load_recipe
    from dashseg.inference import load
    from dashseg.models import build_model
    from dashseg.models.summary import summarise

    if (model is None) == (recipe is None):
        raise InputError("name either a model or a recipe, with --recipe")
    if model is not None:
        segmenter = load(model, device="cpu")
        network, config = segmenter.network, segmenter.config
    else:
        config = load_recipe(recipe, changes or []).model
        network = build_model(config)
    chosen = options.parse_size(size) if size else config.input.size or (874, 1164)
    if min(chosen) < SMALLEST_SIDE:
        raise InputError(
            f"--size {size} is too small: networks take {SMALLEST_SIDE}x{SMALLEST_SIDE} and up"
        )
    table, totals = summarise(network, chosen)
    print(json.dumps(asdict(totals)) if as_json else table)
