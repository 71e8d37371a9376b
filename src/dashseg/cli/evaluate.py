"""`dashseg evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import dashseg
from dashseg.cli import options
from dashseg.cli.streams import console
from dashseg.errors import InputError
from dashseg.progress import print_note, progress

if TYPE_CHECKING:
    from dashseg.evaluation import Metrics


def evaluate(
    model: options.Model,
    data: options.Data,
    dataset: options.Dataset = None,
    split: Annotated[
        str, typer.Option("--split", help="val, train, all, or a split file (its val side).")
    ] = "val",
    out: Annotated[
        Path | None, typer.Option("--out", help="Output folder; default: evaluation/ in the run.")
    ] = None,
    tta: Annotated[
        list[str] | None,
        typer.Option(
            "--tta", help="flip, multiscale or none; repeatable. Default: the run's recipe."
        ),
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(
            "--examples",
            min=0,
            help="Best and worst frames in the report. Default: the run's recipe.",
        ),
    ] = None,
    changes: options.DataChanges = None,
    classes: options.Classes = None,
    device: options.Device = "auto",
    batch: options.Batch = "auto",
    workers: options.Threads = None,
    cluster: options.Cluster = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out frames that cannot be read.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Measure a model on labelled frames: metrics.json, per_image.csv and a report."""
    if out is None:
        _check_has_a_run(model, classes)
    with progress("evaluating", "frames") as advance:
        metrics = dashseg.evaluate(
            model, data=data, dataset=dataset, split=split, out=out,
            tta=[] if tta == ["none"] else tta, examples=examples, overrides=changes or [],
            classes=classes, device=device, skip_broken=skip_broken,
            batch_size=options.parse_batch(batch), workers=workers, cluster=cluster,
            on_progress=advance,
        )  # fmt: skip
    if as_json:
        print(json.dumps(metrics.to_dict()))
    else:
        print_metrics(metrics)
    for problem in metrics.data["unreadable"]:
        print_note(f"skipped: {problem}")
    if metrics.data["unreadable"]:
        raise typer.Exit(1)


def _check_has_a_run(model: str, classes: str | None) -> None:
    from dashseg.inference.loading import find_run

    if find_run(Path(model)) is None:
        dashseg.load(model, device="cpu", classes=classes)  # an error of its own if it is no model
        raise InputError(f"{model} belongs to no run: name an output folder with --out")


def print_metrics(metrics: Metrics) -> None:
    """The headline numbers, and where the report is."""
    from rich.table import Table

    from dashseg.evaluation.report import RESIZED

    table = Table("class", "IoU", title=metrics.title)
    for name, iou in metrics.iou.items():
        table.add_row(name, "–" if iou is None else f"{iou:.4f}")
    table.add_row("mean", "–" if metrics.miou is None else f"{metrics.miou:.4f}", style="bold")
    shown = console()
    shown.print(table)
    shown.print(
        "cross-entropy: "
        + ", ".join(
            f"{name} {value:.4f}" for name, value in metrics.ce.items() if value is not None
        )
    )
    if metrics.data["resized"]:
        shown.print(RESIZED)
    assert metrics.folder is not None
    shown.print(f"report: {metrics.folder / 'report' / 'index.html'}", soft_wrap=True)
