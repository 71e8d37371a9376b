"""`dashseg data import`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashseg.cli import options
from dashseg.progress import print_note, progress

if TYPE_CHECKING:
    from dashseg.formats import Imported


def import_(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Folder, .zip or .json of another tool.")
    ],
    out: Annotated[Path, typer.Argument(help="New folder for images/, masks/ and palette.yaml.")],
    format: Annotated[
        str | None, typer.Option("--format", help="The source's format; else recognised.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            help="MAP.yaml of the classes to make, or comma10k for a built-in map. Default: the"
            " source's own classes.",
        ),
    ] = None,
    link: Annotated[
        str, typer.Option("--link", help="How images get into OUT: copy, hard or symbolic.")
    ] = "copy",
    masks: Annotated[
        str, typer.Option("--masks", help="Masks in the palette's colours, or ids: colour, id.")
    ] = "colour",
    annotator: Annotated[
        str | None,
        typer.Option(
            "--annotator",
            help="Label Studio: take this person's labels (e-mail or id). Default: the newest.",
        ),
    ] = None,
    snap: Annotated[
        bool,
        typer.Option(
            "--snap", help="Folders of masks: bring colours outside the palette to the nearest one."
        ),
    ] = False,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out files that cannot be used.")
    ] = False,
    workers: options.Workers = None,
    as_json: options.Json = False,
) -> None:
    """Read what CVAT, LabelMe, COCO, Cityscapes and other tools wrote."""
    from dashseg.formats import import_labels

    with progress("importing", "frames") as advance:
        imported = import_labels(
            source, out, format=format, classes=classes, link=link, masks=masks,
            annotator=annotator, snap=snap, skip_broken=skip_broken, workers=workers,
            on_progress=advance,
        )  # fmt: skip
    if as_json:
        print(json.dumps(imported.to_dict()))
        return
    _print(imported)


def _print(imported: Imported) -> None:
    from rich.console import Console
    from rich.table import Table

    from dashseg.pages import percent

    print(f"format: {imported.format} ({imported.why})")
    table = Table(title="share of the pixels, %")
    table.add_column("class")
    table.add_column("share", justify="right")
    total = sum(imported.pixels)
    for name, pixels in zip((*imported.classes.names, "(ignore)"), imported.pixels, strict=True):
        table.add_row(name, percent(pixels / total, 2))
    Console().print(table, markup=False)
    counts = imported.frames.items()
    splits = ", ".join(f"{count} {split}" for split, count in counts if split)
    print(f"{sum(imported.frames.values())} frames in {imported.root}" + (splits and f": {splits}"))
    if imported.snapped:
        share = 100 * imported.snapped / total
        print(f"{share:.3f} % of the pixels were brought to the nearest palette colour")
    for line in imported.skipped:
        print_note(f"left out: {line}")
    for line in imported.notes:
        print_note(line)
