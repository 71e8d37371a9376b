"""`dashseg predict` on a camera or a stream."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dashseg.errors import InputError
from dashseg.progress import print_note, progress

if TYPE_CHECKING:
    from dashseg.inference.video.record import LiveReport

# What works with live input; `end` in seconds. Any other option that is given is an error.
_USED = ("model", "inputs", "out", "codec", "smooth", "show", "reconnects", "overwrite", "tta",
         "classes", "device", "as_json")  # fmt: skip
_NAMES = {"smallest": "min-area", "copies": "images"}  # of options, where they differ


def predict_live(options: dict[str, Any], end: float | None) -> None:
    """Record live input.

    Args:
        options: those of `predict`.
        end: seconds after the first frame.
    """
    from dashseg.inference import load
    from dashseg.inference.video.live import shown
    from dashseg.inference.video.record import record_live
    from dashseg.inference.video.write import FORMATS

    given = {name: value for name, value in options.items() if _is_given(value)}
    inputs, out = given["inputs"], Path(given["out"])
    if len(inputs) > 1:
        raise InputError(f"{len(inputs)} inputs: live input comes alone")
    for name in given:
        if name not in (*_USED, "end"):
            option = _NAMES.get(name, name).replace("_", "-")
            raise InputError(f"--{option} does not go with live input")
    piped = str(out) == "-"
    if piped and os.isatty(1):
        raise InputError("--out - writes a video: send it to a program, such as | ffplay -")
    if not piped and out.suffix.lower() not in FORMATS:
        raise InputError(f"--out {out}: of live input, a video's name, such as live.mkv; or -")
    segmenter = load(
        given["model"], device=given.get("device", "auto"), tta=tuple(given.get("tta", ())),
        classes=given.get("classes"),
    )  # fmt: skip
    of_live = {name: given[name] for name in _USED[3:8] if name in given}
    with progress(f"recording {shown(inputs[0])}", "frames") as advance:
        report = record_live(
            segmenter, inputs[0], None if piped else out,
            end=end, on_progress=advance, on_note=print_note, **of_live,
        )  # fmt: skip
    messages = sys.stderr if piped else sys.stdout
    if given.get("as_json"):
        print(json.dumps(asdict(report)), file=messages)
    else:
        print(_line(report, "standard output" if piped else str(out)), file=messages)
    if report.lost:
        print_note(f"ended: {report.lost}")
    if report.interrupted:
        raise typer.Exit(130)
    if report.lost:
        raise typer.Exit(1)


def _is_given(value: object) -> bool:
    return value is not None and value is not False and value != [] and value != "auto"


def _line(report: LiveReport, out: str) -> str:
    rate = report.frames / report.seconds if report.seconds else 0
    return (
        f"{report.frames} frames of {report.seconds:.1f} s segmented into {out}"
        f" ({rate:.1f} frames/s), {report.dropped} dropped, {report.broken} broken,"
        f" {report.reconnects} reconnects" + ", stopped" * report.interrupted
    )
