"""`dashseg push`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dashseg import verbs
from dashseg.cli import options


def push(
    model: Annotated[str, typer.Argument(help="A run, a model directory, or small.")],
    repository: Annotated[str, typer.Argument(help="owner/name on the hub; created if needed.")],
    license: Annotated[
        str | None,
        typer.Option(
            "--license", help="The model's licence by the hub's name: mit, apache-2.0, other, …"
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Only you see it; an error if it is public already.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch; created if needed. Default: main.")
    ] = None,
    exports: Annotated[
        list[Path] | None,
        typer.Option("--exports", help="Folder of dashseg export to add. Repeatable."),
    ] = None,
    metrics: Annotated[
        list[Path] | None,
        typer.Option(
            "--metrics", help="metrics.json for the card, besides those of the run. Repeatable."
        ),
    ] = None,
    bench: Annotated[
        Path | None,
        typer.Option("--bench", help="What dashseg bench MODEL --json printed, for the card."),
    ] = None,
    non_commercial: Annotated[
        bool,
        typer.Option(
            "--non-commercial",
            help="Publish a model although its training data is for non-commercial use only.",
        ),
    ] = False,
    new_card: Annotated[
        bool, typer.Option("--new-card", help="Write a card although the model has a README.md.")
    ] = False,
    dry_run: Annotated[
        Path | None,
        typer.Option("--dry-run", help="New folder: gets what would be pushed. No network."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Publish a model on the Hugging Face hub: weights, config, card and exports in one commit."""
    pushed = verbs.push(
        model, repository, license=license, private=private, revision=revision,
        exports=exports or (), metrics=metrics or (), bench=bench, non_commercial=non_commercial,
        new_card=new_card, dry_run=dry_run,
    )  # fmt: skip
    if as_json:
        print(json.dumps(pushed.to_dict()))
    elif dry_run is not None:
        print(f"{dry_run}: {', '.join(pushed.files)}; look at README.md, the card")
    else:
        print(f"{pushed.name}: {', '.join(pushed.files)}\n{pushed.url}")
