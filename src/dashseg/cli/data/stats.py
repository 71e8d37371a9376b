"""`dashseg data stats`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashseg.cli import options
from dashseg.cli.streams import console
from dashseg.progress import print_note, progress

if TYPE_CHECKING:
    from dashseg.curate.stats import Statistics


def stats(
    root: Annotated[
        str, typer.Argument(metavar="DIR", help="Folder of frames and masks, or synthetic:N:SEED.")
    ],
    dataset: options.Dataset = None,
    split: Annotated[
        str, typer.Option("--split", help="all, train, val, or a split file (its val side).")
    ] = "all",
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder for a web page with pictures.")
    ] = None,
    changes: options.DataChanges = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Count again even if no frame has changed.")
    ] = False,
    workers: options.Workers = None,
    cluster: options.Cluster = None,
    as_json: options.Json = False,
) -> None:
    """Show statistics of a data set: classes, weights, positions, brightness, devices, times."""
    from dashseg.curate.stats import collect, write_page
    from dashseg.data import open_dataset
    from dashseg.outputs import require_empty

    spread = options.parse_cluster(cluster, root)
    if out is not None:
        require_empty(out)
    frames = open_dataset(options.data_config(root, dataset, changes), split)
    with progress("counting", "frames") as advance:
        found = collect(
            frames, workers, use_cache=not no_cache, spread=spread, on_progress=advance,
            on_note=print_note,
        )  # fmt: skip
    if out is not None:
        write_page(out, found)
    if as_json:
        print(json.dumps(found.to_dict(), allow_nan=False))
        return
    _print(found)
    if out is not None:
        print(f"page: {out / 'index.html'}")


def _print(found: Statistics) -> None:
    from rich.table import Table

    from dashseg.pages import percent

    table = Table(title=f"{found.images} frames of {found.kind}, {found.split}")
    table.add_column("class")
    for title in ("% of pixels", "frames", "% of frames", "ENet", "median freq."):
        table.add_column(title, justify="right")
    for row in found.classes:
        weights = (row.enet_weight, row.median_frequency_weight)
        table.add_row(
            row.name,
            percent(row.share, 2),
            str(row.frames),
            percent(row.frame_share, 1),
            *("–" if weight is None else f"{weight:.4g}" for weight in weights),
        )
    shown = console()
    shown.print(table)
    for line in _lines(found):
        shown.print(line, soft_wrap=True, highlight=False)


def _lines(found: Statistics) -> list[str]:
    from dashseg.pages import percent

    names = found.names.to_dict()
    sizes = (f"{width}×{height} ({frames})" for (height, width), frames in found.sizes.items())
    groups = (f"{group} {frames}" for group, frames in found.groups.items())
    lines = [
        f"sizes: {', '.join(sizes)}",
        f"ignored: {percent(found.ignored_share, 2)} % of the pixels",
        f"brightness: mean luma {found.mean_luma:.1f}; {', '.join(groups)}",
    ]
    if absent := [row.name for row in found.classes if not row.frames]:
        lines.append(f"classes that no label shows: {', '.join(absent)}")
    for level in ("devices", "routes", "segments"):
        if spread := names[level]:
            least, middle, most = (spread[f"frames_{which}"] for which in ("min", "median", "max"))
            lines.append(
                f"{level}: {spread['count']}; frames of each: {least} to {most}, median {middle:g}"
            )
    if names["unparsed"]:
        examples = ", ".join(names["unparsed_examples"])
        lines.append(f"unrecognised names: {names['unparsed']}, such as {examples}")
    return lines
