"""`dashseg data augment-preview`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashseg.cli import options


def augment_preview(
    data: options.Data,
    recipe: Annotated[str, typer.Option("--recipe", help="Name or path of a recipe.")],
    out: Annotated[Path, typer.Option("--out", help="Picture to write: .png or .jpg.")],
    dataset: options.Dataset = None,
    count: Annotated[int, typer.Option("--n", min=1, max=64, help="Frames to show.")] = 8,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Selects frames and their augmentation.")
    ] = 0,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the recipe: --set augment.night.share=1. Repeatable."),
    ] = None,
) -> None:
    """Show how a recipe augments training frames and their labels."""
    from dashseg.config import change_recipe, load_recipe
    from dashseg.data import open_dataset
    from dashseg.training.preview import augmentation_sheet, check_path, write_sheet

    check_path(out)
    chosen = change_recipe(load_recipe(recipe, changes or []), data={"root": data})
    if dataset is not None:
        chosen = change_recipe(chosen, data={"dataset": dataset})
    frames = open_dataset(chosen.data, "train")
    write_sheet(augmentation_sheet(frames, chosen, count, seed), out)
    print(f"{min(count, len(frames))} of {len(frames)} training frames: {out}")
