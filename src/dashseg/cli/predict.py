"""`dashseg predict`."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashseg.cli import options
from dashseg.cli.predict_cluster import predict_on_cluster
from dashseg.cli.predict_live import predict_live
from dashseg.errors import InputError
from dashseg.progress import print_note, progress

if TYPE_CHECKING:
    from dashseg.inference import Segmenter
    from dashseg.inference.pipeline import Pace
    from dashseg.inference.predict import PredictReport
    from dashseg.inference.video import VideoReport

_VIDEO, _TOOLS = "Video", "Labels for other tools"
_LIVE = "Live input"
_NUMBER = r"(?:[0-9]{1,9}(?:\.[0-9]{0,9})?)"  # not 1e999, of which a fraction has 1000 digits


def predict(
    model: options.Model,
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Images, folders or glob patterns; or videos (a raw .hevc too). Or live input: a"
            " URL (rtsp, udp, http, …), /dev/video0, or - for standard input. With --cluster also"
            " lists of paths, tars, and URLs (s3, gs, …)."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="Folder that gets masks/ and overlays/, or videos; or a video's name."
            " For live input also - for standard output.",
        ),
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
    batch: options.Batch = "auto",
    workers: options.Threads = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Write pre-labels: cvat, label-studio, coco, labelme, yolo, …; or parquet.",
            rich_help_panel=_TOOLS,
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            help="Pixels that a polygon may stray from the label's edge. Default: 1.5.",
            rich_help_panel=_TOOLS,
        ),
    ] = None,
    smallest: Annotated[
        int | None,
        typer.Option(
            "--min-area",
            help="Leave out polygons of fewer pixels. Default: 16.",
            rich_help_panel=_TOOLS,
        ),
    ] = None,
    copies: Annotated[
        str | None,
        typer.Option(
            "--images",
            help="Images in OUT: copy, hard or symbolic links, or none. Default: copy.",
            rich_help_panel=_TOOLS,
        ),
    ] = None,
    image_root: Annotated[
        str | None,
        typer.Option(
            "--image-root",
            help="Label Studio: put this before an image's name.",
            rich_help_panel=_TOOLS,
        ),
    ] = None,
    confident: Annotated[
        float | None,
        typer.Option(
            "--confident",
            min=0,
            max=1,
            help="Ignore pixels whose class has a smaller probability.",
            rich_help_panel=_TOOLS,
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option("--masks", help="Folder for each frame's mask.", rich_help_panel=_VIDEO),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--start", help="Where to start: seconds, or [H:]MM:SS.", rich_help_panel=_VIDEO
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--end", help="Where to end: seconds, or [H:]MM:SS.", rich_help_panel=_VIDEO),
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
    no_audio: Annotated[
        bool, typer.Option("--no-audio", help="Leave the sound out.", rich_help_panel=_VIDEO)
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Also show it in a window.", rich_help_panel=_LIVE)
    ] = False,
    reconnects: Annotated[
        int | None,
        typer.Option(
            "--reconnects",
            min=0,
            help="End after this many failed tries to reconnect in a row. Default: no limit.",
            rich_help_panel=_LIVE,
        ),
    ] = None,
    cluster: options.Cluster = None,
    max_errors: Annotated[
        int | None,
        typer.Option(
            "--max-errors",
            min=0,
            help="Stop when more frames than this failed. Default: 1000.",
            rich_help_panel=options.CLUSTER,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Segment images (masks at each frame's own size, and overlays) or videos."""
    options_given = dict(locals())
    if cluster is not None or max_errors is not None or format == "parquet":
        return predict_on_cluster(options_given)
    from dashseg.inference import load
    from dashseg.inference.pipeline import Pace
    from dashseg.inference.predict import expand
    from dashseg.inference.video import is_video_file
    from dashseg.inference.video.live import is_live

    if any(is_live(entry) for entry in inputs):
        return predict_live(options_given, _seconds(end, "--end"))
    if show or reconnects is not None:
        raise InputError("--show and --reconnects are for live input")
    if str(out) == "-":
        raise InputError("--out - is for live input: name a folder or a video")
    of_video: dict[str, Any] = {
        "masks": masks, "start": _seconds(start, "--start"), "end": _seconds(end, "--end"),
        "every": every, "rate": _rate(fps), "codec": codec, "smooth": smooth,
        "audio": False if no_audio else None,
    }  # fmt: skip
    pace = Pace(options.parse_batch(batch), workers)
    load_model = partial(
        load, model, device=device, tta=tuple(tta or ()), classes=classes, many=pace.one_by_one,
        half=not probabilities,
    )  # fmt: skip
    given = {name: value for name, value in of_video.items() if value is not None}
    of_tool: dict[str, Any] = {
        "tolerance": tolerance, "smallest": smallest, "images": copies, "image_root": image_root,
        "confident": confident,
    }  # fmt: skip
    of_tool = {name: value for name, value in of_tool.items() if value is not None}
    if of_tool and format is None:
        raise InputError(
            "--tolerance, --min-area, --images, --image-root and --confident go with --format"
        )
    paths = [path for entry in inputs for path in expand(entry)]
    videos = [path for path in paths if is_video_file(path) and not path.is_dir()]
    if videos or is_video_file(out):
        if probabilities:
            raise InputError("--probabilities is for images; --masks DIR keeps a video's masks")
        if format:
            raise InputError("--format is for images")
        targets = _targets(videos, paths, out)
        segmenter = load_model()
        _videos(segmenter, targets, as_json, overwrite=overwrite, pace=pace, **given)
        return
    if given:
        option = {"rate": "fps", "audio": "no-audio"}.get(name := next(iter(given)), name)
        raise InputError(f"--{option} is for videos: give a video, or a folder and --out NAME.mp4")
    segmenter = load_model()
    if format is not None:
        if probabilities or overwrite:
            raise InputError("--format writes labels alone, to a new folder")
        _prelabels(segmenter, inputs, out, format, as_json, pace=pace, **of_tool)
        return
    _images(segmenter, inputs, out, probabilities, overwrite, as_json, pace)


def _images(
    segmenter: Segmenter,
    inputs: list[str],
    out: Path,
    probabilities: bool,
    overwrite: bool,
    as_json: bool,
    pace: Pace,
) -> None:
    from dashseg.inference import predict_files

    with progress("segmenting", "frames") as advance:
        report = predict_files(
            segmenter, inputs, out,
            probabilities=probabilities, overwrite=overwrite, pace=pace, on_progress=advance,
        )  # fmt: skip
    _report(report, f"segmented into {out}", as_json)


def _prelabels(
    segmenter: Segmenter, inputs: list[str], out: Path, format: str, as_json: bool, **options: Any
) -> None:
    from dashseg.inference.prelabels import prelabel_files

    with progress("segmenting", "frames") as advance:
        report = prelabel_files(segmenter, inputs, out, format, on_progress=advance, **options)
    _report(report, f"pre-labelled in {out}, format {format}", as_json)


def _report(report: PredictReport, what: str, as_json: bool) -> None:
    if as_json:
        print(
            json.dumps(
                {"written": report.written, "kept": report.kept, "unreadable": report.unreadable}
            )
        )
    else:
        kept = f"; {report.kept} were there already" if report.kept else ""
        print(f"{report.written} frames {what}{kept}")
    for problem in report.unreadable:
        print_note(f"skipped: {problem}")
    if report.unreadable:
        raise typer.Exit(1)


def _targets(videos: list[Path], paths: list[Path], out: Path) -> dict[Path, Path]:
    """The video to write -> its source: `out` of the only path, or one of each of `videos`."""
    from dashseg.inference.video import is_video_file

    one = is_video_file(out)
    if one and len(paths) > 1:
        raise InputError(f"{len(paths)} inputs for one video: name a folder with --out")
    if not one and len(paths) > len(videos):
        raise InputError("videos and images: predict them one after the other")
    targets: dict[Path, Path] = {}
    for source in paths:
        target = out if one else out / f"{source.stem}.seg.mp4"
        if target.resolve() == source.resolve():
            raise InputError(f"{target} is the input video: choose another --out")
        if targets.setdefault(target, source) != source:
            raise InputError(f"{source} and {targets[target]} would both be written as {target}")
    return targets


def _videos(
    segmenter: Segmenter,
    targets: dict[Path, Path],
    as_json: bool,
    masks: Path | None = None,
    **options: Any,
) -> None:
    from dashseg.inference.video import segment_video

    reports, problems, several = [], [], len(targets) > 1
    for out, source in targets.items():
        own = masks / source.stem if masks and several else masks
        try:
            with progress(f"segmenting {source.name}", "frames") as advance:
                report = segment_video(
                    segmenter, source, out, masks=own, on_progress=advance, **options
                )
        except InputError as error:
            if not several:
                raise
            problems.append(str(error))
            continue
        reports.append(report)
        if not as_json:
            _describe(report, out)
        if report.broken:
            problems.append(f"{report.broken} frames of {source} that could not be decoded")
        if report.interrupted:
            break
    if as_json:
        values = [asdict(report) for report in reports]
        print(json.dumps(values if several else values[0]))
    for problem in problems:
        print(f"skipped: {problem}", file=sys.stderr)
    if reports and reports[-1].interrupted:
        raise typer.Exit(130)
    if problems:
        raise typer.Exit(1)


def _describe(report: VideoReport, out: Path) -> None:
    print(f"{report.frames} frames segmented into {out}" + ", stopped" * report.interrupted)
    if report.letterboxed:
        print(f"{report.letterboxed} frames of other sizes than the first, between black bars")
    if report.flicker is not None:
        print(
            f"still pixels that change class between frames: {report.flicker:.3%}"
            f" ({report.flicker_unsmoothed:.3%} without smoothing)"
        )


def _seconds(text: str | None, option: str) -> float | None:
    """ "83.5" or "1:23.5" -> 83.5."""
    if text is None:
        return None
    if not re.fullmatch(rf"({_NUMBER}:){{0,2}}{_NUMBER}", text):
        raise InputError(f"{option} {text}: expected seconds, MM:SS or H:MM:SS")
    return sum(float(part) * 60**power for power, part in enumerate(reversed(text.split(":"))))


def _rate(text: str | None) -> Fraction | None:
    """ "20", "29.97" or "30000/1001" -> frames/s."""
    if text is None:
        return None
    if not re.fullmatch(rf"{_NUMBER}|[0-9]{{1,9}}/0*[1-9][0-9]{{0,8}}", text):
        raise InputError(f"--fps {text}: expected a number such as 20 or 30000/1001")
    return Fraction(text)
