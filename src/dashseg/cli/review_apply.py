"""`dashseg review apply`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dashseg.cli import options
from dashseg.progress import progress


def review_apply(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The review's folder.")],
    marks: Annotated[Path, typer.Argument(metavar="MARKS", help="The JSON its page saved.")],
    to: Annotated[Path, typer.Option("--to", help="New folder for the corrected copy.")],
    data: Annotated[
        str | None, typer.Option("--data", help="The data set, if it has moved since.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Copy the reviewed data set, with the proposed masks of the frames marked wrong."""
    from dashseg.review.apply import CHANGES, apply_review

    with progress("copying", "frames") as advance:
        changes = apply_review(out, marks, to, data, advance)
    if as_json:
        print(json.dumps(changes))
        return
    changed = changes["changed"]
    print(f"{to}: {changes['frames']} frames, {len(changed)} with a new mask; all in {CHANGES}")
    for name, change in list(changed.items())[:10]:
        print(f"  {name}: {change['pixels']} pixels changed")
