"""`dashseg serve`."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashseg.cli import options
from dashseg.errors import InputError

if TYPE_CHECKING:
    from dashseg.inference import Segmenter
    from dashseg.serving.desk import Desk

_DESK, _LIMITS = "The desk, a label editor", "Limits"
_SHORTEST = 16  # characters of a token: nobody guesses it
_MB = 1_000_000
_MOST = 1_000_000.0  # of a limit in MB or megapixels: infinity is no number of bytes


def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Runs, model directories, small, exported files or hub ids; the first is the"
            " default."
        ),
    ],
    host: Annotated[
        str, typer.Option("--host", help="Address to bind to; 0.0.0.0: all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port; 0: any free one.")
    ] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="File with the token that requests must show."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let other machines in without a token.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="Another name of this server, such as a proxy's."),
    ] = None,
    device: options.Device = "auto",
    classes: options.Classes = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Data set whose labels to edit.", rich_help_panel=_DESK),
    ] = None,
    edits: Annotated[
        Path | None,
        typer.Option("--edits", help="Folder for edited labels.", rich_help_panel=_DESK),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", help="Layout of --data; else recognised.", rich_help_panel=_DESK
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            "--split", help="all, train, val, or a split file.", rich_help_panel=_DESK
        ),
    ] = "all",
    review: Annotated[
        Path | None,
        typer.Option(
            "--review", help="Output of dashseg review: worst first.", rich_help_panel=_DESK
        ),
    ] = None,
    picks: Annotated[
        Path | None,
        typer.Option("--picks", help="picks.csv of dashseg data select.", rich_help_panel=_DESK),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch", min=1, max=256, help="Frames that the network gets at once, at most."
            " Default: 8 on a GPU, else 1.",
        ),
    ] = None,
    wait_ms: Annotated[
        float,
        typer.Option("--wait-ms", min=0, max=1000, help="How long a frame waits for a batch."),
    ] = 0,
    queue: Annotated[
        int,
        typer.Option(
            "--queue", min=1, help="Frames that wait; one more gets 503.", rich_help_panel=_LIMITS
        ),
    ] = 64,
    max_mb: Annotated[
        float,
        typer.Option(
            "--max-mb", min=0.01, max=_MOST, help="Largest request.", rich_help_panel=_LIMITS
        ),
    ] = 25,
    max_megapixels: Annotated[
        float,
        typer.Option(
            "--max-megapixels", min=0.01, max=_MOST, help="Largest image.", rich_help_panel=_LIMITS
        ),
    ] = 50,
    max_video_mb: Annotated[
        float,
        typer.Option(
            "--max-video-mb", min=0, max=_MOST, help="Largest video.", rich_help_panel=_LIMITS
        ),
    ] = 500,
    max_video_seconds: Annotated[
        float,
        typer.Option(
            "--max-video-seconds", min=0, help="Longest video.", rich_help_panel=_LIMITS
        ),
    ] = 600,
) -> None:  # fmt: skip
    """Serve models over HTTP, with a page to try them on and a label editor."""
    try:
        from dashseg.serving.app import create_app
        from dashseg.serving.server import address_of, bind, check_address, make_server
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dashseg"):
            raise
        raise InputError(
            f"dashseg serve needs the package {error.name}: pip install 'dashseg[serve]', or from"
            " a clone, pip install -e '.[serve]'"
        ) from error
    from dashseg.inference import load
    from dashseg.inference.pipeline import usual_batch
    from dashseg.serving.naming import names_for
    from dashseg.serving.settings import Settings

    if (data is None) != (edits is None):
        raise InputError("--data and --edits go together: the labels, and a folder for edited ones")
    if data is None and (dataset or split != "all" or review or picks):
        raise InputError("--dataset, --split, --review and --picks need --data and --edits")
    for name in allow_host or ():
        if "/" in name or name.count(":") == 1:  # IPv6 has more
            raise InputError(f"--allow-host {name}: give the name alone, without http:// or a port")
    limits: dict[str, Any] = {
        "queue": queue,
        "max_body": round(max_mb * _MB),
        "max_pixels": round(max_megapixels * _MB),
        "max_video_bytes": round(max_video_mb * _MB),
        "max_video_seconds": max_video_seconds,
    }
    settings = Settings(
        host, port, _read_token(token_file), tuple(name.lower() for name in allow_host or ()),
        batch or 1, wait_ms, **limits,
    )  # fmt: skip
    check_address(settings, insecure)
    with ExitStack() as stack:
        listening = stack.enter_context(bind(host, port))  # a taken port shows before models load
        segmenters = [load(model, device=device, classes=classes) for model in models]
        if batch is None:
            settings = replace(settings, batch=usual_batch(segmenters[0]))
        named = dict(zip(names_for(models), segmenters, strict=True))
        desk = None
        if data is not None and edits is not None:
            desk = _open_desk(named, data, edits, dataset, split, review, picks)
            stack.callback(desk.close)
        server = make_server(create_app(named, settings, desk), settings)
        address = address_of(listening)
        at_the_desk = f"\nthe desk is at {address}desk/" if desk else ""
        print(f"serving {', '.join(named)} at {address}{at_the_desk}", flush=True)
        server.run(sockets=[listening])
    if server.signal == signal.SIGINT:
        raise KeyboardInterrupt


def _open_desk(
    models: dict[str, Segmenter],
    data: str,
    edits: Path,
    dataset: str | None,
    split: str,
    review: Path | None,
    picks: Path | None,
) -> Desk:
    from dashseg.progress import progress
    from dashseg.serving.desk import Desk, open_frames

    first = next(iter(models.values()))
    frames = open_frames(options.data_config(data, dataset, None), split, first.classes)
    with progress("placing", "files") as advance:
        return Desk(frames, edits, models, review, picks, advance)


def _read_token(path: Path | None) -> str | None:
    """The only line of a file.

    Raises:
        InputError: too short, or not one word.
    """
    if path is None:
        return None
    from dashseg.files import read_text

    token = read_text(path).strip()
    if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"{path}: a token is one word of {_SHORTEST} or more letters and digits; make one with:"
            f" openssl rand -hex 32 > {path}"
        )
    return token
