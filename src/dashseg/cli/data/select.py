"""`dashseg data select`."""

from __future__ import annotations

import json
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import dashseg
from dashseg.cli import options
from dashseg.cli.streams import console
from dashseg.files import printable
from dashseg.progress import print_note, progress

if TYPE_CHECKING:
    from dashseg.inference.select_frames import Selection

_SHOWN = 10


def select(
    model: options.Model,
    frames: Annotated[
        list[str], typer.Argument(help="Images, videos, folders of both, or glob patterns.")
    ],
    out: Annotated[Path, typer.Option("--out", help="New table of the frames picked: picks.csv.")],
    count: Annotated[int, typer.Option("--n", min=1, help="How many frames to pick.")] = 200,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            help="uncertainty: where the model is unsure; diversity: unlike all labelled frames;"
            " both.",
        ),
    ] = "both",
    labelled: Annotated[
        str | None,
        typer.Option("--labelled", help="Data set or folder of the frames that have labels."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group", help="Spread the picks over each segment, drive, device or folder."
        ),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(
            "--most", min=1, help="Most frames of a group. Default: twice an equal share."
        ),
    ] = None,
    every: Annotated[
        int, typer.Option("--every", min=1, help="Take only every Nth frame of videos.")
    ] = 1,
    copy: Annotated[
        Path | None, typer.Option("--copy", help="New folder for the frames picked.")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--page", help="New folder for a web page with pictures, and why."),
    ] = None,
    classes: options.Classes = None,
    device: options.Device = "auto",
    cluster: options.Cluster = None,
    workers: options.ActorCores = None,
    as_json: options.Json = False,
) -> None:
    """Choose which frames to label next: where the model is unsure, and unlike those labelled."""
    from dashseg.curate.select.output import check_outputs, copied, rows, write_page, write_table
    from dashseg.inference.select_frames import read_picks, select_frames, show

    options.refuse_cores(cluster, workers)
    looker = None
    if cluster is not None:
        from dashseg.scale import require_packages

        require_packages()
        from dashseg.scale.select import looker as looker_on

        looker = looker_on(model, cluster, classes=classes, device=device, cores=workers)
    check_outputs(out, copy, page)
    here = device if cluster is None else "cpu"  # where it is only looked at
    segmenter = dashseg.load(model, device=here, classes=classes)
    with progress("looking", "frames") as advance:
        found = select_frames(
            segmenter, frames, count, by=by, group=group, most=most, labelled=labelled,
            every=every, looker=looker, on_progress=advance,
        )  # fmt: skip
    if copy is not None or page is not None:
        taken = read_picks(found.picks)
        if copy is not None:
            taken = copied(copy, found.picks, taken, found.unreadable)
        if page is not None:
            facts = {
                "seen": found.seen, "labelled": found.labelled, "by": by,
                "model": printable(segmenter.name),
            }  # fmt: skip
            write_page(page, found.picks, taken, partial(show, segmenter), facts)
        deque(taken, maxlen=0)  # without a page, nothing has taken the frames yet
    write_table(out, found.picks)
    if as_json:
        facts = {
            "seen": found.seen, "labelled": found.labelled, "left_out": found.left_out,
            "picks": rows(found.picks), "unreadable": found.unreadable,
        }  # fmt: skip
        print(json.dumps(facts))
    else:
        _print(found, out)
    for problem in found.unreadable:
        print_note(f"skipped: {problem}")
    if found.unreadable:
        raise typer.Exit(1)


def _print(found: Selection, out: Path) -> None:
    from rich.table import Table

    some = f", the first {_SHOWN}" if len(found.picks) > _SHOWN else ""
    table = Table(title=f"{len(found.picks)} of {found.seen} frames{some}")
    table.add_column("rank", justify="right")
    table.add_column("frame", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("distance", justify="right")
    for rank, pick in enumerate(found.picks[:_SHOWN], start=1):
        distance = "–" if pick.distance is None else f"{pick.distance:.3f}"
        table.add_row(str(rank), pick.candidate.name, f"{pick.candidate.score:.3f}", distance)
    shown = console()
    shown.print(table)
    if found.left_out:
        shown.print(f"{found.left_out} frames are labelled already: left out")
    shown.print(f"picks: {out}")
