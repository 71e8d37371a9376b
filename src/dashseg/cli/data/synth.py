"""`dashseg data synth`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashseg.cli import options
from dashseg.progress import progress


def synth(
    out: Annotated[Path, typer.Argument(help="New folder for imgs/ and masks/.")],
    n: Annotated[
        int, typer.Option("--n", help="How many scenes; one in ten is for validation.")
    ] = 500,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 0,
    size: Annotated[str, typer.Option("--size", help="HxW in pixels.")] = "874x1164",
    varied: Annotated[
        bool, typer.Option("--varied", help="Many cameras, and other countries' streets.")
    ] = False,
    workers: options.Workers = None,
) -> None:
    """Draw road scenes with exact masks, as a data set in comma10k's layout."""
    from dashseg.scenes import synthesise

    with progress("drawing scenes", "scenes") as advance:
        synthesise(out, n, seed, workers, options.parse_size(size), advance, varied)
    print(f"{n} scenes in {out}")
