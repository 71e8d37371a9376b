"""`dashseg predict`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from dashseg.cli import options
from dashseg.progress import progress


def predict(
    model: options.Model,
    inputs: Annotated[list[str], typer.Argument(help="Images, folders or glob patterns.")],
    out: Annotated[Path, typer.Option("--out", help="Gets masks/ and overlays/.")],
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write float16 C×H×W arrays (.npy).")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what an earlier call wrote.")
    ] = False,
    tta: Annotated[
        list[str] | None, typer.Option("--tta", help="flip, multiscale; repeatable.")
    ] = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Segment images: masks in the palette at each frame's own size, and overlays."""
    from dashseg.inference import load, predict_files

    segmenter = load(model, device=device, tta=tuple(tta or ()))
    with progress("segmenting", "frames") as advance:
        report = predict_files(
            segmenter, inputs, out,
            probabilities=probabilities, overwrite=overwrite, on_progress=advance,
        )  # fmt: skip
    if as_json:
        print(json.dumps({"written": report.written, "unreadable": report.unreadable}))
    else:
        print(f"{report.written} frames segmented into {out}")
    for problem in report.unreadable:
        print(f"skipped: {problem}", file=sys.stderr)
    if report.unreadable:
        raise typer.Exit(1)
