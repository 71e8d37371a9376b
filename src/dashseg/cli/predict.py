"""`dashseg predict`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashseg.cli import options
from dashseg.errors import InputError
from dashseg.progress import print_note, progress

if TYPE_CHECKING:
    from dashseg.inference import Segmenter

_VIDEO = "Video"


def predict(
    model: options.Model,
    inputs: Annotated[
        list[str],
        typer.Argument(help="Images, folders or glob patterns; or one video (a raw .hevc too)."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder that gets masks/ and overlays/; or a video's name."),
    ],
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write float16 C×H×W arrays (.npy).")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what an earlier call wrote.")
    ] = False,
    tta: Annotated[
        list[str] | None, typer.Option("--tta", help="flip, multiscale; repeatable.")
    ] = None,
    classes: options.Classes = None,
    device: options.Device = "auto",
    masks: Annotated[
        Path | None,
        typer.Option("--masks", help="Folder for each frame's mask.", rich_help_panel=_VIDEO),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", help="Seconds, or [H:]MM:SS.", rich_help_panel=_VIDEO),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", help="Seconds, or [H:]MM:SS.", rich_help_panel=_VIDEO)
    ] = None,
    every: Annotated[
        int | None,
        typer.Option("--every", min=1, help="Only every Nth frame.", rich_help_panel=_VIDEO),
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option(
            "--fps",
            help="Frame rate of a folder or a raw stream, such as 20 or 30000/1001.",
            rich_help_panel=_VIDEO,
        ),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option("--codec", help="h264, hevc, vp9, av1, …", rich_help_panel=_VIDEO),
    ] = None,
    smooth: Annotated[
        float | None,
        typer.Option(
            "--smooth",
            help="0 (off) to below 1: how much of its past a still pixel keeps.",
            rich_help_panel=_VIDEO,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Segment images (masks at each frame's own size, and overlays) or a video."""
    from dashseg.inference import load
    from dashseg.inference.video import is_video_file

    of_video: dict[str, Any] = {
        "masks": masks, "start": start, "end": end, "every": every, "fps": fps, "codec": codec,
        "smooth": smooth,
    }  # fmt: skip
    videos = [entry for entry in inputs if is_video_file(Path(entry))]
    if videos or is_video_file(out):
        if len(inputs) > 1:
            raise InputError(f"one video at a time, not {len(inputs)} inputs")
        if probabilities:
            raise InputError("--probabilities is for images; --masks DIR keeps a video's masks")
        source = Path(inputs[0])
        target = out if is_video_file(out) else out / f"{source.stem}.seg.mp4"
        if target.resolve() == source.resolve():
            raise InputError(f"{target} is the input video: choose another --out")
        segmenter = load(model, device=device, tta=tuple(tta or ()), classes=classes)
        _video(segmenter, source, target, overwrite, as_json, **of_video)
        return
    unused = [f"--{name}" for name, value in of_video.items() if value is not None]
    if unused:
        raise InputError(f"{unused[0]} is for videos: give a video, or a folder and --out NAME.mp4")
    segmenter = load(model, device=device, tta=tuple(tta or ()), classes=classes)
    _images(segmenter, inputs, out, probabilities, overwrite, as_json)


def _images(
    segmenter: Segmenter,
    inputs: list[str],
    out: Path,
    probabilities: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    from dashseg.inference import predict_files

    with progress("segmenting", "frames") as advance:
        report = predict_files(
            segmenter, inputs, out,
            probabilities=probabilities, overwrite=overwrite, on_progress=advance,
        )  # fmt: skip
    if as_json:
        print(
            json.dumps(
                {"written": report.written, "kept": report.kept, "unreadable": report.unreadable}
            )
        )
    else:
        kept = f"; {report.kept} were there already" if report.kept else ""
        print(f"{report.written} frames segmented into {out}{kept}")
    for problem in report.unreadable:
        print_note(f"skipped: {problem}")
    if report.unreadable:
        raise typer.Exit(1)


def _video(
    segmenter: Segmenter,
    source: Path,
    out: Path,
    overwrite: bool,
    as_json: bool,
    masks: Path | None,
    start: str | None,
    end: str | None,
    every: int | None,
    fps: str | None,
    codec: str | None,
    smooth: float | None,
) -> None:
    from dashseg.inference.video import segment_video

    with progress("segmenting", "frames") as advance:
        report = segment_video(
            segmenter, source, out,
            masks=masks, codec=codec or "h264", start=_seconds(start, "--start") or 0,
            end=_seconds(end, "--end"), every=every or 1, rate=_rate(fps), smooth=smooth or 0,
            overwrite=overwrite, on_progress=advance,
        )  # fmt: skip
    if as_json:
        print(json.dumps(asdict(report)))
    else:
        print(f"{report.frames} frames segmented into {out}" + ", stopped" * report.interrupted)
        if report.flicker is not None:
            print(
                f"still pixels that change class between frames: {report.flicker:.3%}"
                f" ({report.flicker_unsmoothed:.3%} without smoothing)"
            )
    if report.broken:
        print(f"skipped: {report.broken} frames that could not be decoded", file=sys.stderr)
    if report.interrupted:
        raise typer.Exit(130)
    if report.broken:
        raise typer.Exit(1)


def _seconds(text: str | None, option: str) -> float | None:
    """ "83.5" or "1:23.5" -> 83.5."""
    if text is None:
        return None
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or any(part < 0 for part in parts):
        raise InputError(f"{option} {text}: expected seconds, MM:SS or H:MM:SS")
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))


def _rate(text: str | None) -> Fraction | None:
    """ "20", "29.97" or "30000/1001" -> frames/s."""
    if text is None:
        return None
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise InputError(f"--fps {text}: expected a number such as 20 or 30000/1001") from None
