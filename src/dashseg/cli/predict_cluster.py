"""`dashseg predict --cluster`."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

import typer

from dashseg.cli import options
from dashseg.errors import InputError
from dashseg.progress import print_note, progress

_TAKEN = {
    "model", "inputs", "out", "overwrite", "tta", "classes", "device", "batch", "workers", "format",
    "cluster", "max_errors", "as_json",
}  # fmt: skip

_OPTIONS = {"smallest": "min-area", "copies": "images"}  # parameter -> option, where they differ


def predict_on_cluster(chosen: dict[str, Any]) -> None:
    """Run `predict` with --cluster; `chosen` are all its options by the names of its parameters."""
    if chosen["cluster"] is None:
        raise InputError("--max-errors and --format parquet go with --cluster")
    for name, value in chosen.items():
        if name not in _TAKEN and value not in (None, False):
            option = _OPTIONS.get(name, name.replace("_", "-"))
            raise InputError(f"--{option} does not go with --cluster")
    if chosen["format"] not in (None, "parquet"):
        raise InputError(f"--format {chosen['format']}: --cluster writes masks, or parquet")
    for entry in chosen["inputs"]:
        if entry == "-" or re.match("/dev/video|(rtsps?|rtp|udp|tcp|srt)://", entry):
            raise InputError("--cluster does not go with live input")
    from dashseg.scale import MAX_ERRORS, predict_on_cluster

    limit = chosen["max_errors"]
    with progress("segmenting", "frames") as advance:
        report = predict_on_cluster(
            chosen["model"],
            chosen["inputs"],
            # A Path has lost a slash of a URL.
            re.sub("^([A-Za-z][A-Za-z0-9+.-]+):/(?=[^/])", r"\1://", str(chosen["out"])),
            chosen["cluster"],
            format=chosen["format"] or "files",
            overwrite=chosen["overwrite"],
            max_errors=MAX_ERRORS if limit is None else limit,
            tta=tuple(chosen["tta"] or ()),
            classes=chosen["classes"],
            device=chosen["device"],
            batch_size=options.parse_batch(chosen["batch"]),
            cores=chosen["workers"],
            on_progress=advance,
        )
    if chosen["as_json"]:
        print(json.dumps(asdict(report)))
    else:
        kept = f"; {report.kept} were there already" if report.kept else ""
        print(f"{report.written} frames segmented into {chosen['out']}{kept}")
    if report.failed:
        print_note(f"{report.failed} frames failed: errors.parquet in {chosen['out']} says why")
        raise typer.Exit(1)
