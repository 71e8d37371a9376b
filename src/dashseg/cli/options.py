"""Options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

from dashseg.errors import InputError

Data = Annotated[
    str,
    typer.Option(
        "--data", help="Folder of frames and masks, or synthetic:N[:SEED] for drawn scenes."
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="comma10k, camvid, folder or synthetic; recognised from the folder unless given.",
    ),
]
Model = Annotated[
    str,
    typer.Argument(
        help="A run, a model directory, an exported .onnx or .xml, or a hub id owner/name."
    ),
]
Classes = Annotated[
    str | None,
    typer.Option("--classes", help="palette.yaml of an ONNX file that dashseg did not export."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes; else one per core.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def parse_size(text: str) -> tuple[int, int]:
    """ "437x582" -> (437, 582): height, width."""
    height, cross, width = text.lower().partition("x")
    if not (cross and height.isdigit() and width.isdigit()):
        raise InputError(f"--size {text}: expected HxW in pixels, such as 437x582")
    return int(height), int(width)
