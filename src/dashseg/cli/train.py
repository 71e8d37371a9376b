"""`dashseg train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import dashseg
from dashseg.cli import options
from dashseg.cli.evaluate import print_metrics
from dashseg.errors import InputError, command


def train(
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Name of a shipped recipe, or a .yaml file.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Folder of frames and masks, or synthetic:N:SEED.")
    ] = None,
    dataset: options.Dataset = None,
    split: Annotated[
        Path | None, typer.Option("--split", help="Split file; default: the data set's own rule.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run; default: the recipe's.")
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Folder that holds runs.")] = Path("runs"),
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Resume this run from its last checkpoint.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the recipe: --set training.epochs=80. Repeatable."),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda, cuda:1; under torchrun its own.")
    ] = "auto",
    print_recipe: Annotated[
        bool,
        typer.Option(
            "--print-recipe", help="Print the whole recipe, each key explained, and exit."
        ),
    ] = False,
) -> None:
    """Train a model by a recipe; then evaluate it on the held-out frames."""
    from dashseg.config import explain_recipe, load_run_recipe
    from dashseg.training.failures import Interrupted
    from dashseg.training.processes import launched
    from dashseg.verbs import chosen_recipe

    if resume is not None:
        if any(given is not None for given in (recipe, data, dataset, split, name)):
            raise InputError("--resume uses the run's own recipe and data; change it with --set")
        if print_recipe:
            print(explain_recipe(load_run_recipe(resume, changes or [])), end="")
            return
        root = resume
    elif recipe is None:
        raise InputError("name a recipe with --recipe, or a run with --resume")
    else:
        chosen = chosen_recipe(
            recipe, data=data, dataset=dataset, split=split, overrides=changes or []
        )
        if print_recipe:
            print(explain_recipe(chosen), end="")
            return
        root = runs / (name or Path(recipe).stem)
    first = launched().first
    try:
        if resume is not None:
            run = dashseg.resume(resume, overrides=changes or [], device=device)
        else:
            run = dashseg.train(chosen, name=root.name, runs=root.parent, device=device)
    except Interrupted:
        if first:
            print(f"stopped; to resume: {command(f'train --resume {root}')}")
        raise typer.Exit(130) from None
    if first:
        if run.metrics is not None:
            print_metrics(run.metrics)
        print(f"run: {run.path}")
