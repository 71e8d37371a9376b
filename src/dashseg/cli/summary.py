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
    encoders: Annotated[
        bool,
        typer.Option(
            "--encoders",
            help="List the encoders whose names match MODEL, such as '*dinov2*', with their costs;"
            " without MODEL, the names of all.",
        ),
    ] = False,
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

    if encoders:
        if recipe is not None or changes:
            raise InputError("--encoders lists encoders: leave --recipe and --set out")
        _list_encoders(model, options.parse_size(size) if size else None, as_json)
        return
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


def _list_encoders(pattern: str | None, size: tuple[int, int] | None, as_json: bool) -> None:
    """Print encoders: all names by family, or the costs of those that match."""
    from dashseg.config import SMALLEST_SIDE, InputConfig
    from dashseg.models.encoder_list import encoder_cost, encoder_names, families

    names = encoder_names(pattern)
    if pattern is None:
        if as_json:
            print(json.dumps(names))
            return
        for family, members in families(names).items():
            print(f"{family} ({len(members)}): {' '.join(members)}")
        print(f"{len(names)} encoders; dashseg summary --encoders PATTERN shows what they cost")
        return
    size = size or InputConfig().size
    assert size is not None
    if min(size) < SMALLEST_SIDE:
        raise InputError(f"--size: networks take {SMALLEST_SIDE}x{SMALLEST_SIDE} and up")
    costs = (encoder_cost(name, size) for name in names)
    if as_json:
        print(json.dumps([asdict(cost) for cost in costs]))
        return
    width = max(map(len, names))
    print(f"{'encoder':{width}}  output  million     billion multiply-adds")
    print(f"{'':{width}}  stride  parameters  at {size[0]}x{size[1]}")
    for cost in costs:
        if cost.parameters is None or cost.multiply_adds is None:
            print(f"{cost.name:{width}}  {cost.problem}")
            continue
        millions, billions = cost.parameters / 1e6, cost.multiply_adds / 1e9
        print(f"{cost.name:{width}}  {cost.output_stride:6}  {millions:10.2f}  {billions:.2f}")
