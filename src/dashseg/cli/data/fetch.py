"""`dashseg data fetch`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashseg.cli import options
from dashseg.progress import print_note, progress

if TYPE_CHECKING:
    from dashseg.curate.fetch import Fetched


def fetch(
    root: Annotated[
        Path, typer.Argument(metavar="DIR", help="New folder, or one of an earlier fetch.")
    ],
    parts: Annotated[
        str | None,
        typer.Option("--parts", help="Cameras: imgs,imgs2,imgsd. Default: imgs."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", help="URL or path of a git repository. Default: comma10k's own."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Fetch comma10k without its history. Rerun the command to resume."""
    from dashseg.curate.fetch import fetch as fetch_parts

    with progress("fetching", "files") as advance:
        fetched = fetch_parts(root, source, options.parse_parts(parts), advance, print_note)
    if as_json:
        print(json.dumps(fetched.to_dict()))
        return
    _print(root, fetched)


def _print(root: Path, fetched: Fetched) -> None:
    if fetched.nothing_to_do:
        print("nothing to do")
    else:
        print(
            f"{fetched.written} files fetched, {fetched.replaced} updated,"
            f" {fetched.removed} removed"
        )
    print(f"{root}: commit {fetched.commit} of {fetched.source}")
    for part in fetched.parts:
        alone = part.images + part.masks - 2 * part.pairs
        print(f"  {part.part}: {part.pairs} pairs" + (f", {alone} files alone" if alone else ""))
    which = "all" if not fetched.kept else "all others"
    print(f"  {fetched.files} files, {fetched.bytes / 1e6:.1f} MB; {which} match the commit")
    if fetched.kept:
        print(f"changed by you and kept: {len(fetched.kept)}")
        for path in fetched.kept[:10]:
            print(f"  {path}")
        if len(fetched.kept) > 10:
            print(f"  and {len(fetched.kept) - 10} more (--json lists all)")
