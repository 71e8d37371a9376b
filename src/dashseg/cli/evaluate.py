"""`dashseg evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashseg.cli import options
from dashseg.errors import InputError
from dashseg.progress import progress

if TYPE_CHECKING:
    from dashseg.config import DataConfig, Recipe
    from dashseg.evaluation import Metrics


def evaluate(
    model: options.Model,
    data: options.Data,
    dataset: options.Dataset = None,
    split: Annotated[
        str, typer.Option("--split", help="val, train, all, or a split file (its val side).")
    ] = "val",
    out: Annotated[
        Path | None, typer.Option("--out", help="Output folder; else evaluation/ in the run.")
    ] = None,
    tta: Annotated[
        list[str] | None,
        typer.Option(
            "--tta", help="flip, multiscale; repeatable; none. Else as the run's recipe says."
        ),
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(
            "--examples",
            min=0,
            help="Best and worst frames in the report; else as the recipe says.",
        ),
    ] = None,
    changes: options.DataChanges = None,
    classes: options.Classes = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Measure a model on labelled frames: metrics.json, per_image.csv and a report."""
    recipe = _recorded(model, changes or [])
    config = _pointed_at(recipe.data, data, dataset)
    ways = recipe.evaluation.tta if tta is None else () if tta == ["none"] else tuple(tta)
    shown = recipe.evaluation.examples if examples is None else examples
    run_evaluation(model, config, split, out, ways, shown, device, as_json, classes)


def run_evaluation(
    model: str,
    data: DataConfig,
    split: str,
    out: Path | None,
    tta: tuple[str, ...],
    examples: int,
    device: str = "auto",
    as_json: bool = False,
    classes: str | None = None,
) -> None:
    """Evaluate, write the report, and print the headline numbers."""
    from dashseg.data import open_dataset
    from dashseg.evaluation import default_folder
    from dashseg.evaluation import evaluate as measure
    from dashseg.inference import load

    segmenter = load(model, device=device, tta=tta, classes=classes)
    dataset = open_dataset(data, split)
    if out is None:
        if segmenter.run is None:
            raise InputError(f"{model} belongs to no run: name an output folder with --out")
        out = default_folder(segmenter.run, dataset, segmenter.tta)
    with progress("evaluating", "frames") as advance:
        metrics = measure(segmenter, dataset, out, examples=examples, on_progress=advance)
    if as_json:
        print(json.dumps(metrics.to_dict()))
        return
    _print(metrics, out)


def data_config(model: str, data: str, dataset: str | None, changes: list[str]) -> DataConfig:
    """How the model's run reads its data, if it is of a run, pointed at `data`."""
    return _pointed_at(_recorded(model, changes).data, data, dataset)


def _recorded(model: str, changes: list[str]) -> Recipe:
    """The recipe of the run that `model` is or is of; the defaults for a model of none."""
    from dashseg.config import load_recipe, load_run_recipe
    from dashseg.inference.loading import find_run

    run = find_run(Path(model))
    return load_recipe(None, changes) if run is None else load_run_recipe(run, changes)


def _pointed_at(trained: DataConfig, data: str, dataset: str | None) -> DataConfig:
    """`trained`, of the data at `data`.

    The run's split file holds for its own data only: there it keeps training frames out of "val".
    """
    from dashseg.config import Recipe, change_recipe

    same = trained.root is not None and Path(trained.root).resolve() == Path(data).resolve()
    update = {"root": data, "split": trained.split if same else None}
    kind = dataset or (trained.dataset if same else None)
    return change_recipe(Recipe(data=trained), data=update | {"dataset": kind}).data


def _print(metrics: Metrics, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from dashseg.evaluation.report import RESIZED

    what = [f"{metrics.data['images']} frames", metrics.data["split"], *metrics.tta]
    table = Table("class", "IoU", title=", ".join(what))
    for name, iou in metrics.iou.items():
        table.add_row(name, "–" if iou is None else f"{iou:.4f}")
    table.add_row("mean", "–" if metrics.miou is None else f"{metrics.miou:.4f}", style="bold")
    console = Console()
    console.print(table)
    console.print(
        "cross-entropy: "
        + ", ".join(
            f"{name} {value:.4f}" for name, value in metrics.ce.items() if value is not None
        )
    )
    if metrics.data["resized"]:
        console.print(RESIZED)
    console.print(f"report: {out / 'report' / 'index.html'}", soft_wrap=True)
