"""`dashseg data split`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashseg.cli import options
from dashseg.cli.streams import console
from dashseg.errors import InputError
from dashseg.progress import print_note, progress

if TYPE_CHECKING:
    from dashseg.curate.split import Comparison
    from dashseg.data import Dataset

_SHARE = 0.1


def split(
    root: Annotated[
        str,
        typer.Argument(metavar="DIR", help="Folder of frames and masks, a pack, synthetic:N:SEED."),
    ],
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            help="Make a split that never divides a segment, route or device; or name: comma's"
            " rule, names that end in 9.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="With --by: the split file to write.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--split", help="Describe this split file. Default: the data set's own rule."),
    ] = None,
    val: Annotated[
        float | None, typer.Option("--val", help="Share of frames to hold out. Default: 0.1.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Another seed gives another split.")
    ] = None,
    dataset: options.Dataset = None,
    changes: options.DataChanges = None,
    workers: options.Workers = None,
    as_json: options.Json = False,
) -> None:
    """Split by drive instead of by name; show what a split's two sides share."""
    from dashseg.curate.split import compare
    from dashseg.curate.stats import collect_class_pixels
    from dashseg.data.sources import open_whole, read_split
    from dashseg.files import write_json

    _check_options(by, out, file, val, seed)
    frames, sides = open_whole(options.data_config(root, dataset, changes))
    frames.check()
    if file is not None:
        sides = {side: set(names) for side, names in read_split(file, frames.names).items()}
    with progress("counting", "labels") as advance:
        pixels = collect_class_pixels(frames, workers, on_progress=advance, on_note=print_note)
    made: dict[str, Any] = {}
    if by is not None:
        made = (
            {"by": by}
            if by == "name"
            else {"by": by, "val_share": val or _SHARE, "seed": seed or 0}
        )
        sides = _make(frames, pixels, **made)
    if not all(sides.values()):
        empty = next(side for side in ("train", "val") if not sides[side])
        whose = file or (f"--by {by}" if by else f"{frames.kind}'s own rule")
        raise InputError(f"{root}: {whose} leaves no frame for '{empty}'; make a split with --by")
    found = compare(frames.names, pixels, frames.classes.names, sides["train"], sides["val"])
    if out is not None:
        lists = {side: [name for name in frames.names if name in sides[side]] for side in sides}
        write_json(out, {"schema": 1, **made, "fingerprint": frames.fingerprint(), **lists})
    which = str(out or file or "own rule")
    if as_json:
        of = {"root": root, "kind": frames.kind, "images": len(frames)}
        print(json.dumps({"schema": 1, "data": of, "split": which, **made, **found.to_dict()}))
        return
    _print(which, found)


def _check_options(
    by: str | None, out: Path | None, file: Path | None, val: float | None, seed: int | None
) -> None:
    from dashseg.curate.split import LEVELS
    from dashseg.files import require_new

    if by is None:
        if out is not None or val is not None or seed is not None:
            raise InputError(f"--out, --val and --seed make a split: add --by {'|'.join(LEVELS)}")
        return
    if by not in ("name", *LEVELS):
        raise InputError(f"--by {by}: expected name, {', '.join(LEVELS)}")
    if out is None or file is not None:
        raise InputError("--by makes a split: name the file to write with --out, and no --split")
    if by == "name" and (val is not None or seed is not None):
        raise InputError("--by name holds out the names that end in 9: no --val and no --seed")
    require_new(out)


def _make(
    frames: Dataset, pixels: Any, by: Any, val_share: float = _SHARE, seed: int = 0
) -> dict[str, set[str]]:
    from dashseg.config import DataConfig
    from dashseg.curate.split import choose
    from dashseg.data import comma10k

    if by == "name":
        return comma10k.splits(frames.names, DataConfig())
    held_out = choose(frames.names, pixels, by, val_share, seed)
    names = {name for name, out in zip(frames.names, held_out, strict=True) if out}
    return {"train": set(frames.names) - names, "val": names}


def _print(which: str, found: Comparison) -> None:
    from rich.table import Table

    from dashseg.pages import percent

    shown = console()

    def say(line: str) -> None:
        shown.print(line, soft_wrap=True, highlight=False)

    share = 100 * found.val / (found.train + found.val)
    left_out = f", {found.left_out} on neither side" if found.left_out else ""
    say(
        f"{which}: {found.train} for training, {found.val} for validation ({share:.1f} %){left_out}"
    )
    say("validation frames that share with training")
    for level, count in found.shared.items():
        say(f"  a {level + ':':9} {count:6}  ({100 * count / found.val:.1f} %)")
    if found.unparsed or found.unparsed_train:
        say(
            f"unrecognised names: {found.unparsed} of validation, {found.unparsed_train} of"
            f" training, such as {', '.join(found.examples)}; each is a group of its own"
        )
    table = Table(title="share of the labelled pixels, %")
    for title in ("class", "training", "validation", "difference"):
        table.add_column(title, justify="left" if title == "class" else "right")
    for row in found.to_dict()["classes"]:
        ours, theirs = row["train_share"], row["val_share"]
        difference = "–" if None in (ours, theirs) else f"{100 * (theirs - ours):+.2f}"
        table.add_row(row["name"], percent(ours, 2), percent(theirs, 2), difference)
    shown.print(table)
    if found.distance is not None:
        say(f"the sides differ in {100 * found.distance:.2f} % of the pixels (total variation)")
