"""`dashseg train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashseg.cli import options
from dashseg.errors import InputError

if TYPE_CHECKING:
    from dashseg.config import Recipe


def train(
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Name of a shipped recipe, or a .yaml file.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Folder of frames and masks, or synthetic:N:SEED.")
    ] = None,
    dataset: options.Dataset = None,
    split: Annotated[
        Path | None, typer.Option("--split", help="Split file; else the data set's own rule.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run; else the recipe's.")
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Where runs are kept.")] = Path("runs"),
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Go on with this run from its last checkpoint.")
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
    from dashseg.config import change_recipe, explain_recipe, load_recipe, load_run_recipe

    if resume is not None:
        if any(given is not None for given in (recipe, data, dataset, split, name)):
            raise InputError(
                "--resume goes on with the run's own recipe and data; change it with --set"
            )
        if print_recipe:
            print(explain_recipe(load_run_recipe(resume, changes or [])), end="")
            return
        _run(resume, None, changes or [], device)
        return
    if recipe is None:
        raise InputError("name a recipe with --recipe, or a run to go on with by --resume")
    given = {"root": data, "dataset": dataset, "split": split}
    chosen = change_recipe(
        load_recipe(recipe, changes or []),
        data={key: value for key, value in given.items() if value is not None},
    )
    if print_recipe:
        print(explain_recipe(chosen), end="")
        return
    _run(runs / (name or Path(recipe).stem), chosen, [], device)


def _run(root: Path, recipe: Recipe | None, changes: list[str], device: str) -> None:
    """A new run by `recipe`, or without one the old run at `root`; then its evaluation."""
    from dashseg.run_directory import RunDirectory
    from dashseg.training.processes import launched
    from dashseg.training.run import Finished, Interrupted, resume_run, train_run

    first = launched().first

    def then() -> None:
        _evaluate(root, changes, device)

    try:
        if recipe is None:
            resume_run(root, changes, device=device, then=then)
        else:
            train_run(recipe, root, sys.argv, device=device, then=then)
    except Finished:
        if not first:
            return
        with RunDirectory(root).held():
            if not _stopped_in_evaluation(root, changes):
                raise
            then()
    except Interrupted:
        if first:
            print(f"stopped; go on with: dashseg train --resume {root}")
        raise typer.Exit(130) from None
    if first:
        print(f"run: {root}")


def _evaluate(root: Path, changes: list[str], device: str) -> None:
    """As the run's recipe asks for."""
    from dashseg.cli.evaluate import run_evaluation
    from dashseg.config import load_run_recipe
    from dashseg.data import open_dataset
    from dashseg.evaluation import default_folder
    from dashseg.training.checkpoints import clear_unfinished

    used = load_run_recipe(root, changes)
    if not used.evaluation.run:
        return
    tta, examples = used.evaluation.tta, used.evaluation.examples
    out = default_folder(root, open_dataset(used.data, "val"), tta)
    clear_unfinished(out.parent, name=out.name)
    try:
        run_evaluation(str(root), used.data, "val", out, tta, examples, device)
    except KeyboardInterrupt:
        print(f"stopped; go on with: dashseg train --resume {root}")
        raise typer.Exit(130) from None


def _stopped_in_evaluation(root: Path, changes: list[str]) -> bool:
    """Whether a run that is trained still lacks the evaluation that its recipe asks for."""
    from dashseg.config import load_run_recipe
    from dashseg.data import open_dataset
    from dashseg.evaluation import is_evaluated

    used = load_run_recipe(root, changes)
    return used.evaluation.run and not is_evaluated(
        root, open_dataset(used.data, "val"), used.evaluation.tta
    )
