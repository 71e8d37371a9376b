"""`dashseg review`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

import dashseg
from dashseg.cli import options
from dashseg.cli.streams import console
from dashseg.errors import InputError
from dashseg.progress import progress

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
        typer.Option(
            "--folds",
            help="Train this many models; each reviews only frames it was not trained on.",
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Recipe for --folds: its name or .yaml.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Decides which frames share a fold.")
    ] = 0,
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
            "--set",
            help="Change the recipe, or how data is read: --set data.trainable_only=true.",
        ),
    ] = None,
    classes: options.Classes = None,
    device: options.Device = "auto",
    cluster: options.Cluster = None,
    workers: options.ActorCores = None,
    as_json: options.Json = False,
) -> None:
    """Find the labels most likely wrong: a table, a page to mark them on, proposed masks."""
    if (model is None) == (folds is None):
        raise InputError(
            "review takes either a MODEL, or --folds K with --recipe NAME to train a model for each"
            " fold without that fold's frames" + (", not both" if model is not None else "")
        )
    if classes is not None and model is None:
        raise InputError("--classes describes a MODEL, and there is none")
    if (folds is None) != (recipe is None):
        raise InputError("--folds and --recipe go together: name both, or a MODEL")
    options.refuse_cores(cluster, workers)

    from dashseg.data import open_dataset
    from dashseg.review.folds import review_parts
    from dashseg.review.output import check_out, read_worst, write_review
    from dashseg.review.suspects import Judge, Part, judge_here
    from dashseg.training.failures import Interrupted
    from dashseg.verbs import chosen_recipe, data_settings

    judge: Judge = judge_here
    if cluster is not None:
        from dashseg.scale import require_packages

        require_packages()
        from dashseg.scale.review import judge as judge_on

        judge = judge_on(cluster, classes=classes, device=device, cores=workers)
    check_out(out, folds=folds is not None)
    if folds is None:
        assert model is not None
        here = device if cluster is None else "cpu"  # where it is only looked at
        segmenter = dashseg.load(model, device=here, classes=classes, many=True)
        frames = open_dataset(data_settings(model, data, dataset, changes or []), split)
        parts = [Part(segmenter, frames)]
    else:
        chosen = chosen_recipe(recipe, data=data, dataset=dataset, overrides=changes or [])
        frames = open_dataset(chosen.data, split)
        try:
            parts = review_parts(out, frames, chosen, folds, seed, _say, device)
        except (Interrupted, KeyboardInterrupt):  # during training, or before its first step
            _say("stopped; rerun the command to resume")
            raise typer.Exit(130) from None
    with progress("reviewing", "frames") as advance:
        facts = write_review(out, frames, parts, top, advance, judge)
    if as_json:
        print(json.dumps(facts))
    else:
        _print(facts, read_worst(out, _PRINTED), out)


def _say(line: str) -> None:
    """Results alone go to stdout."""
    typer.echo(line, err=True)


def _print(facts: dict[str, Any], worst: list[dict[str, str]], out: Path) -> None:
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
    shown = console()
    shown.print(table)
    shown.print(f"page: {out / 'index.html'}", soft_wrap=True)
