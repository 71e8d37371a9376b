"""`dashseg data export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashseg.cli import options
from dashseg.progress import progress


def export(
    root: Annotated[
        str,
        typer.Argument(metavar="DIR", help="Folder of frames and masks, a pack, synthetic:N:SEED."),
    ],
    out: Annotated[Path, typer.Argument(help="New folder.")],
    format: Annotated[str, typer.Option("--format", help="The other tool's format.")],
    split: Annotated[
        str, typer.Option("--split", help="train, val, all, or a split file.")
    ] = "all",
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", help="Pixels that a polygon may stray from the label's edge. 0: exact."
        ),
    ] = 0.0,
    smallest: Annotated[
        int, typer.Option("--min-area", help="Leave out polygons of fewer pixels.")
    ] = 1,
    images: Annotated[
        str, typer.Option("--images", help="copy, hard or symbolic links, or none.")
    ] = "copy",
    image_root: Annotated[
        str,
        typer.Option("--image-root", help="Label Studio: put this before an image's name."),
    ] = "",
    dataset: options.Dataset = None,
    changes: options.DataChanges = None,
    workers: options.Workers = None,
) -> None:
    """Write labels for CVAT, LabelMe, Label Studio, COCO and other tools."""
    from dashseg.data import open_dataset
    from dashseg.formats import export_labels

    frames = open_dataset(options.data_config(root, dataset, changes), split)
    with progress("exporting", "frames") as advance:
        exported = export_labels(
            frames, out, format, tolerance=tolerance, smallest=smallest, images=images,
            image_root=image_root, workers=workers, on_progress=advance,
        )  # fmt: skip
    print(f"{exported.frames} frames in {exported.root}, format {exported.format}")
