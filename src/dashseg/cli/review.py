"""`dashseg review`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashseg.cli import options
from dashseg.errors import InputError
from dashseg.progress import progress

if TYPE_CHECKING:
    from dashseg.config import Recipe
    from dashseg.data import Dataset
    from dashseg.review.suspects import Part

_PRINTED = 10  # suspects on the terminal; all are in the table


def review(
    data: options.Data,
    out: Annotated[Path, typer.Option("--out", help="Folder for the tables and the page.")],
    model: Annotated[
        str | None,
        typer.Argument(
            help="A run, a model directory, small, an exported file, or a hub id; or --folds."
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option("--folds", help="Train this many models, each without what it reviews."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="How to train them: a recipe's name or .yaml.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the folds.")] = 0,
    dataset: options.Dataset = None,
    split: Annotated[
        str, typer.Option("--split", help="all, train, val, or a split file (its val side).")
    ] = "all",
    top: Annotated[
        int, typer.Option("--top", min=0, help="Frames on the page, each with a proposed mask.")
    ] = 100,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change the recipe, or how data is read: --set data.trainable_only=true."
        ),
    ] = None,
    classes: options.Classes = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Find the labels most likely wrong: a table, a page to mark them on, proposed masks."""
    if (model is None) == (folds is None):
        raise InputError(
            "review takes either a MODEL, or --folds K with --recipe NAME to train models that"
            " have not seen the frames they review" + (", not both" if model is not None else "")
        )
    if classes is not None and model is None:
        raise InputError("--classes describes a MODEL, and there is none")
    if (folds is None) != (recipe is None):
        raise InputError("--folds and --recipe go together: name both, or a MODEL")

    from dashseg.cli.evaluate import data_config
    from dashseg.data import open_dataset
    from dashseg.inference import load
    from dashseg.review.output import check_out, read_worst, write_review
    from dashseg.review.suspects import Part

    check_out(out, folds=folds is not None)
    if model is not None:
        segmenter = load(model, device=device, classes=classes)
        frames = open_dataset(data_config(model, data, dataset, changes or []), split)
        parts = [Part(segmenter, frames)]
    else:
        assert recipe is not None and folds is not None
        chosen = _recipe(recipe, data, dataset, changes or [])
        frames, parts = _by_folds(out, chosen, split, folds, seed, device)
    with progress("reviewing", "frames") as advance:
        facts = write_review(out, frames, parts, top, advance)
    if as_json:
        print(json.dumps(facts))
    else:
        _print(facts, read_worst(out, _PRINTED), out)


def _recipe(recipe: str, data: str, dataset: str | None, changes: list[str]) -> Recipe:
    from dashseg.config import change_recipe, load_recipe

    given = {"root": data, "dataset": dataset}
    return change_recipe(
        load_recipe(recipe, changes),
        data={key: value for key, value in given.items() if value is not None},
    )


def _by_folds(
    out: Path, recipe: Recipe, split: str, count: int, seed: int, device: str
) -> tuple[Dataset, list[Part]]:
    """Train what is not trained yet."""
    from dashseg.data import open_dataset
    from dashseg.review.folds import FOLDS, make_folds, parts_of_folds, plan_folds, train_folds
    from dashseg.training.devices import training_device
    from dashseg.training.run import Interrupted

    training_device(device)  # before anything is written
    frames = open_dataset(recipe.data, split)
    planned = make_folds(frames.names, count, seed)
    plan_folds(out / FOLDS, frames, recipe, seed, planned)
    try:
        train_folds(out / FOLDS, recipe, planned, _say, device)
    except (Interrupted, KeyboardInterrupt):  # of steps, or before the first
        _say("stopped; the same command goes on from here")
        raise typer.Exit(130) from None
    return frames, parts_of_folds(out / FOLDS, frames, planned, device)


def _say(line: str) -> None:
    """Results alone go to stdout."""
    typer.echo(line, err=True)


def _print(facts: dict[str, Any], worst: list[dict[str, str]], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    data = facts["data"]
    table = Table(title=f"{data['images']} frames, {data['split']}: the worst {len(worst)}")
    for column in ("rank", "score"):
        table.add_column(column, justify="right")
    table.add_column("frame", overflow="fold")
    for column in ("drawn as", "seen as"):
        table.add_column(column)
    table.add_column("pixels", justify="right")
    for row in worst:
        score = f"{float(row['score']):.3f}" if row["score"] else "–"
        region = (row[f"region_{key}"] or "–" for key in ("drawn", "seen", "area"))
        table.add_row(row["rank"], score, row["name"], *region)
    console = Console()
    console.print(table)
    console.print(f"page: {out / 'index.html'}", soft_wrap=True)
