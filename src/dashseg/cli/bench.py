"""`dashseg bench`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashseg.cli import options
from dashseg.cli.streams import console
from dashseg.errors import InputError
from dashseg.progress import progress

if TYPE_CHECKING:
    from dashseg.bench.rows import Bench, Row


def bench(
    model: options.Model,
    size: Annotated[
        str | None,
        typer.Option("--size", help="HxW that the network sees. Default: the model's own."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Labelled frames: adds the mIoU, and calibrates INT8. Default: drawn scenes.",
        ),
    ] = None,
    dataset: options.Dataset = None,
    frames: Annotated[
        int, typer.Option("--frames", min=1, help="Most frames to compare labels on.")
    ] = 40,
    calibration: Annotated[
        int, typer.Option("--calibration", min=1, help="Most frames to calibrate INT8 on.")
    ] = 100,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, help="Rounds; each times every runtime once.")
    ] = 10,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers",
            help="For an export: time and precision of each layer as its runtime executes it.",
        ),
    ] = False,
    classes: options.Classes = None,
    as_json: options.Json = False,
) -> None:
    """Find the fastest way to run a model on this machine: every runtime and precision, in turn."""
    chosen = options.parse_size(size) if size else None
    if layers:
        if data is not None:
            raise InputError("--layers measures time alone, on noise: leave --data out")
        _layers(model, chosen, rounds, as_json)
        return

    from dashseg.bench.run import BenchOptions
    from dashseg.bench.run import bench as measure
    from dashseg.verbs import data_settings

    config = data_settings(model, data, dataset) if data is not None else None
    asked = BenchOptions(
        chosen, config, frames, calibration, rounds, None if classes is None else Path(classes)
    )
    with progress("timing", "rounds") as advance:
        result = measure(model, asked, _say, advance)
    if as_json:
        print(json.dumps(result.to_dict()))
    else:
        _print(result)


def _layers(model: str, size: tuple[int, int] | None, rounds: int, as_json: bool) -> None:
    from dashseg.bench.layers import profile_layers

    profile = profile_layers(model, size, rounds)
    if as_json:
        print(json.dumps(profile.to_dict()))
        return
    from rich.table import Table

    title = f"{model} in {profile.runtime} at {profile.size[0]}×{profile.size[1]}"
    table = Table(title=title)
    for heading in ("ms", "share", "precision", "type", "layer"):
        table.add_column(heading, justify="right" if heading in ("ms", "share") else "left")
    for layer in sorted(profile.layers, key=lambda layer: -layer.ms):
        share = f"{layer.ms / profile.ms:.1%}"
        table.add_row(f"{layer.ms:.3f}", share, layer.precision, layer.type, layer.name)
    shown = console(width=None if sys.stdout.isatty() else 200)
    shown.print(table)
    parts = ", ".join(f"{name} {share:.1%}" for name, share in profile.shares().items())
    machine = profile.machine
    shown.print(f"{profile.ms:.1f} ms in layers: {parts}", soft_wrap=True)
    shown.print(f"{machine['processor']}, {machine['threads']} threads of {machine['cores']} cores")


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _print(result: Bench) -> None:
    from rich.table import Table

    machine, best = result.machine, result.best
    table = Table(
        "", "runtime", "precision", title=f"{result.model} at {result.size[0]}×{result.size[1]}"
    )
    for heading in (
        "ms (min–max)", "× eager (min–max)", "frames/s", "many waiting", "frame → label, ms",
        "labels agree", "mIoU", "load, s", "memory, MB", "file, MB", "of the peak",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for row in sorted(result.rows, key=lambda row: row.ms_median):
        style = "bold" if row is best else None
        table.add_row("*" if row is best else "", *_cells(row), style=style)
    # A file or a pipe has no width of its own: take one that fits the table.
    shown = console(width=None if sys.stdout.isatty() else 200)
    shown.print(table)
    shown.print(
        f"{machine['processor']}, {machine['threads']} threads of {machine['cores']} cores;"
        f" matrix products: "
        + ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in machine["matrix_gflops"].items())
    )
    gflop = result.rows[0].gflop
    if gflop is not None:
        shown.print(f"{gflop:.1f} GFLOP a frame; labels of {result.frames}", soft_wrap=True)
    if result.calibration is not None:
        shown.print(f"INT8 calibrated on {result.calibration}", soft_wrap=True)
    for entry in result.skipped:
        shown.print(f"skipped {entry.runtime} {entry.precision}: {entry.reason}", soft_wrap=True)
    if best is not None:
        shown.print("* the fastest within 0.3 mIoU points of PyTorch eager fp32")
    elif len(result.rows) > 1:
        shown.print("give labelled frames with --data to see which of these keep their accuracy")


def _cells(row: Row) -> tuple[str, ...]:
    ratio = (
        "–"
        if row.speedup_vs_eager is None
        else f"{row.speedup_vs_eager:.2f} ({row.speedup_min:.2f}–{row.speedup_max:.2f})"
    )
    return (
        row.runtime,
        row.precision,
        f"{row.ms_median:.1f} ({row.ms_min:.1f}–{row.ms_max:.1f})",
        ratio,
        f"{row.fps:.1f}",
        f"{row.throughput_fps:.1f}",
        f"{row.ms_frame_to_label:.1f}",
        "–" if row.label_agreement is None else f"{row.label_agreement:.3%}",
        "–" if row.miou is None else f"{row.miou:.4f}",
        f"{row.load_s:.1f}",
        f"{row.peak_memory_mb:.0f}",
        f"{row.file_mb:.1f}",
        "–" if row.share_of_peak is None else f"{row.share_of_peak:.0%}",
    )
