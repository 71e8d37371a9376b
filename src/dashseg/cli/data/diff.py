"""`dashseg data diff`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashseg.cli import options
from dashseg.progress import progress

if TYPE_CHECKING:
    from dashseg.curate.diff import Difference

_SHOWN = 20  # frames


def diff(
    old: Annotated[str, typer.Argument(help="Folder of frames and masks: the old version.")],
    new: Annotated[str, typer.Argument(help="The new version.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder for a web page with pictures.")
    ] = None,
    dataset: options.Dataset = None,
    changes: options.DataChanges = None,
    workers: options.Workers = None,
    as_json: options.Json = False,
) -> None:
    """Compare two versions of a label set. Exit code 1: they differ."""
    from dashseg.curate.diff import compare_labels, write_page
    from dashseg.data.sources import open_whole
    from dashseg.outputs import require_empty

    if out is not None:
        require_empty(out)
    before, _ = open_whole(options.data_config(old, dataset, changes))
    after, _ = open_whole(options.data_config(new, dataset, changes))
    with progress("comparing", "frames") as advance:
        found = compare_labels(before, after, workers, advance)
    if out is not None:
        write_page(out, found, before, after)
    if as_json:
        print(json.dumps(found.to_dict()))
    else:
        _print(found)
        if out is not None:
            print(f"page: {out / 'index.html'}")
    if not found.equal:
        raise typer.Exit(1)


def _print(found: Difference) -> None:
    from dashseg.pages import percent

    for change in found.changes[:_SHOWN]:
        if change.unreadable or change.sizes or not change.moves:
            what = change.unreadable or ("another size" if change.sizes else "only the image")
            print(f"{change.name}: {what}")
            continue
        moves = ", ".join(
            f"{move['from']} → {move['to']} {move['pixels']}"
            for move in found.listed(change.moves)[:3]
        )
        share = percent(change.changed / change.pixels, 2)
        print(f"{change.name}: {change.changed} pixels ({share} %): {moves}")
    if len(found.changes) > _SHOWN:
        print(f"and {len(found.changes) - _SHOWN} more (--json and --out list all)")
    print(
        f"{len(found.changes)} of {found.frames} frames changed, {len(found.added)} added,"
        f" {len(found.gone)} gone"
    )
