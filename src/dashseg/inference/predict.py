"""Images, folders and globs -> masks, overlays and, on request, probabilities in a folder."""

from __future__ import annotations

import glob
import hashlib
import io
import os
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dashseg.errors import InputError
from dashseg.images import IMAGE_SUFFIXES, encode_jpeg, image_files, read_image
from dashseg.inference.pipeline import Pace, run
from dashseg.inference.segmenter import Result, Segmenter
from dashseg.labels import Image, encode_mask
from dashseg.outputs import Record

OUTPUTS = {"masks": ".png", "overlays": ".jpg"}
_PROBABILITIES = {"probabilities": ".npy"}


@dataclass
class PredictReport:
    """What was written, what an earlier call had, and which inputs could not be read and why."""

    written: int = 0
    unreadable: list[str] = field(default_factory=list)
    kept: int = 0  # frames whose files are there, made by the same model of the same frame


def predict_files(
    segmenter: Segmenter,
    inputs: Sequence[str],
    out: Path,
    *,
    probabilities: bool = False,
    overwrite: bool = False,
    pace: Pace | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> PredictReport:
    """Segment image files; the next ones are read, and the last ones written, meanwhile.

    The same call resumes one that was stopped.

    Args:
        inputs: image files, folders (searched through, but for hidden ones) and glob patterns.
        out: gets masks/NAME.png in the palette and overlays/NAME.jpg, both at the frame's size,
            NAME being the path below the folder named; with `probabilities` also
            probabilities/NAME.npy, float16 (C, H, W).
        overwrite: replace files that an earlier call wrote, and that nobody changed since.
        pace: how many frames are worked on at once.
        on_progress: called with (frames done, frames in all).

    Returns:
        A report; a file or sub-folder that cannot be read is in it and does not stop the others.

    Raises:
        InputError: no image found, two inputs of one name, an output that would replace an input
            or another file, `out` not writable.
    """
    report = PredictReport()
    frames = find_images(inputs, report.unreadable)
    kinds = OUTPUTS | (_PROBABILITIES if probabilities else {})
    record = Record(out, "predict")
    outputs = {
        name: _Outputs(
            record,
            {kind: f"{kind}/{name}{suffix}" for kind, suffix in kinds.items()},
            made_of(segmenter, [path]),
        )
        for name, path in frames.items()
    }
    targets = {target: o.of for o in outputs.values() for target in o.names.values()}
    whole = record.accept(targets, frames.values(), overwrite)
    count = len(frames)
    frames = {n: p for n, p in frames.items() if not whole.issuperset(outputs[n].names.values())}
    report.kept = count - len(frames)

    def read(name: str) -> tuple[Image, _Outputs]:
        return read_image(frames[name]), outputs[name]

    with record.open(), closing(run(segmenter, frames, read, _write, pace)) as outcomes:
        for done, outcome in enumerate(outcomes, report.kept + 1):
            if isinstance(outcome, InputError):
                report.unreadable.append(str(outcome))
            else:
                report.written += 1
            if on_progress:
                on_progress(done, count)
    return report


@dataclass(frozen=True)
class _Outputs:
    """A frame's files: their names by kind, and what they are made of."""

    record: Record
    names: dict[str, str]
    of: str


def _write(outputs: _Outputs, result: Result) -> None:
    for kind, name in outputs.names.items():
        with outputs.record.file(name, outputs.of) as temporary:
            temporary.write_bytes(encode(kind, result))


def encode(kind: str, result: Result) -> bytes:
    """The bytes of a frame's file: of "masks", "overlays" or "probabilities"."""
    if kind == "masks":
        return encode_mask(result.label, result.classes)
    if kind == "overlays":
        return encode_jpeg(np.asarray(result.overlay()))
    array = io.BytesIO()  # np.save to a file raises no plain OSError on a full disk
    np.save(array, result.probabilities.astype(np.float16))
    return array.getvalue()


def made_of(segmenter: Segmenter, inputs: Sequence[Path], *options: object) -> str:
    """A digest by which a rerun knows its model and inputs, by their state and without reading."""
    parts: list[object] = [segmenter.name, segmenter.tta, repr(segmenter.classes), *options]
    for path in (*inputs, segmenter.weights or Path(segmenter.name)):
        with suppress(OSError):
            found = path.stat()
            parts += [os.path.abspath(path), found.st_size, found.st_mtime_ns]
    return hashlib.sha256(repr(parts).encode(errors="surrogateescape")).hexdigest()[:16]


def find_images(inputs: Sequence[str], unreadable: list[str]) -> dict[str, Path]:
    """Name -> path of every image asked for, in the order given, folders sorted."""
    frames: dict[str, Path] = {}
    for entry in inputs:
        folder = Path(entry)
        if folder.is_dir():
            found = image_files(folder, unreadable)
            pairs = [(p.relative_to(folder).with_suffix("").as_posix(), p) for p in found]
        else:
            pairs = [(path.stem, path) for path in expand(entry)]
        if not pairs:
            reason = f"; {unreadable[0]}" if unreadable else ""
            suffixes = ", ".join(IMAGE_SUFFIXES)
            raise InputError(f"{folder}: no images in this folder ({suffixes}){reason}")
        for name, path in pairs:
            if frames.setdefault(name, path) != path:
                raise InputError(
                    f"{path} and {frames[name]} would both be written as {name}:"
                    " predict them into two folders"
                )
    return frames


def expand(entry: str) -> list[Path]:
    """A file or folder as it is; of a glob pattern the files that match, sorted.

    Raises:
        InputError: nothing is there.
    """
    if os.path.exists(entry):  # a name with brackets is a file before it is a pattern
        return [Path(entry)]
    found = [path for path in map(Path, sorted(glob.glob(entry, recursive=True))) if path.is_file()]
    if not found:
        raise InputError(f"{entry}: no such file or folder, and no file matches it")
    return found
