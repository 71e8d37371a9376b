"""Images, folders and globs -> masks, overlays and, on request, probabilities in a folder."""

from __future__ import annotations

import glob
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dashseg.errors import InputError
from dashseg.files import make_folder, replace_file
from dashseg.images import IMAGE_SUFFIXES, encode_jpeg, is_image_file
from dashseg.inference.segmenter import Result, Segmenter
from dashseg.labels import write_mask
from dashseg.overlap import behind

_OUTPUTS = {"masks": ".png", "overlays": ".jpg"}
_PROBABILITIES = {"probabilities": ".npy"}
_GPU_BATCH = 8


@dataclass
class PredictReport:
    """What was written, and which inputs could not be read and why."""

    written: int = 0
    unreadable: list[str] = field(default_factory=list)


def predict_files(
    segmenter: Segmenter,
    inputs: Sequence[str],
    out: Path,
    *,
    probabilities: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> PredictReport:
    """Segment image files; the next ones are read, and the last ones written, meanwhile.

    Args:
        inputs: image files, folders (searched through, but for hidden ones) and glob patterns.
        out: gets masks/NAME.png in the palette and overlays/NAME.jpg, both at the frame's size,
            NAME being the path below the folder named; with `probabilities` also
            probabilities/NAME.npy, float16 (C, H, W).
        overwrite: replace files that an earlier call wrote.
        on_progress: called with (frames done, frames in all).

    Returns:
        A report; a file or sub-folder that cannot be read is in it and does not stop the others.

    Raises:
        InputError: no image found, two inputs of one name, outputs in the way, `out` not writable.
    """
    report = PredictReport()
    frames = _find_images(inputs, report.unreadable)
    kinds = _OUTPUTS | (_PROBABILITIES if probabilities else {})
    targets = {
        name: {kind: out / kind / f"{name}{suffix}" for kind, suffix in kinds.items()}
        for name in frames
    }
    taken = [path for paths in targets.values() for path in paths.values() if path.exists()]
    if taken and not overwrite:
        raise InputError(
            f"{taken[0]} exists"
            + (f" and {len(taken) - 1} more" if len(taken) > 1 else "")
            + ": choose another --out, or --overwrite"
        )
    make_folder(out)
    batch_size = _GPU_BATCH if segmenter.on_gpu else 1  # on a CPU more are no faster
    with (
        behind(_write) as write,
        closing(segmenter.try_many(frames.values(), batch_size)) as outcomes,
    ):
        for done, (name, outcome) in enumerate(zip(frames, outcomes, strict=True), 1):
            if isinstance(outcome, InputError):
                report.unreadable.append(str(outcome))
            else:
                write((outcome, targets[name]))
                report.written += 1
            if on_progress:
                on_progress(done, len(frames))
    return report


def _write(item: tuple[Result, dict[str, Path]]) -> None:
    result, targets = item
    for path in targets.values():
        make_folder(path.parent)
    write_mask(targets["masks"], result.label, result.classes)
    with replace_file(targets["overlays"]) as temporary:
        temporary.write_bytes(encode_jpeg(np.asarray(result.overlay())))
    if "probabilities" in targets:
        array = io.BytesIO()  # np.save to a file raises no plain OSError on a full disk
        np.save(array, result.probabilities.astype(np.float16))
        with replace_file(targets["probabilities"]) as temporary:
            temporary.write_bytes(array.getbuffer())


def _find_images(inputs: Sequence[str], unreadable: list[str]) -> dict[str, Path]:
    """Name -> path of every image asked for, in the order given, folders sorted."""
    frames: dict[str, Path] = {}
    for entry in inputs:
        folder = Path(entry)
        if folder.is_dir():
            found = sorted(_images_in(folder, unreadable))
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


def _images_in(folder: Path, unreadable: list[str]) -> Iterator[Path]:
    """Images at any depth; folders that cannot be read go to `unreadable`, hidden ones are left."""

    def note(error: OSError) -> None:
        unreadable.append(f"{error.filename}: cannot be read: {error.strerror}")

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from filter(is_image_file, (Path(parent, name) for name in files))
