"""Frames -> a model's labels in another tool's format: pre-labels, for a person to mend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from dashseg.errors import InputError
from dashseg.formats import WRITERS
from dashseg.formats.writing import LabelledFrame, WriteOptions, require_choice
from dashseg.images import read_image
from dashseg.inference.pipeline import Pace, run
from dashseg.inference.predict import PredictReport, find_images
from dashseg.inference.segmenter import Result, Segmenter
from dashseg.labels import IGNORE, Image, count_ids
from dashseg.outputs import replace_folder, require_empty


def prelabel_files(
    segmenter: Segmenter,
    inputs: Sequence[str],
    out: str | Path,
    format: str,
    *,
    tolerance: float = 1.5,
    smallest: int = 16,
    images: str = "copy",
    image_root: str = "",
    confident: float = 0,
    pace: Pace | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> PredictReport:
    """Segment image files, and write the labels for another tool.

    Args:
        inputs: image files, folders and glob patterns.
        out: new folder; appears whole or not at all.
        format: one of `dashseg.formats.WRITERS`.
        tolerance: pixels that a polygon may stray from the label's edge.
        smallest: regions of fewer pixels are not written, in formats of polygons.
        images: "copy", "hard" or "symbolic" links, or "none".
        image_root: Label Studio: what to put before an image's name to make its URL.
        confident: 0 to 1: pixels whose class has a smaller probability are ignored (255).
        pace: how many frames are worked on at once.
        on_progress: called with (frames done, frames in all).

    Returns:
        A report; a file that cannot be read is in it and does not stop the others.

    Raises:
        InputError: no such format, no image found, `confident` is not from 0 to 1, `out` exists or
            cannot be written.
    """
    out = Path(out)
    require_choice("--format", format, WRITERS)
    if not 0 <= confident <= 1:
        raise InputError(f"--confident {confident}: from 0 to 1")
    options = WriteOptions(
        segmenter.classes, tolerance, smallest, images, image_root, model=segmenter.name
    )
    require_empty(out)
    report = PredictReport()
    frames = find_images(inputs, report.unreadable)
    writer = WRITERS[format]

    def read(item: tuple[int, tuple[str, Path]]) -> tuple[Image, tuple[int, str, Path]]:
        index, (name, path) = item
        return read_image(path), (index, name, path)

    def records(folder: Path) -> Iterator[Any]:
        def write(of: tuple[int, str, Path], result: Result) -> tuple[Any]:
            index, name, path = of
            label = result.label
            if confident:
                label = np.where(result.probabilities.max(axis=0) < confident, IGNORE, label)
            frame = LabelledFrame(name, path, label, scores=_scores(result), index=index)
            return (writer.write_frame(folder, frame, options),)

        with closing(run(segmenter, enumerate(frames.items()), read, write, pace)) as outcomes:
            for done, outcome in enumerate(outcomes, 1):
                if isinstance(outcome, InputError):
                    report.unreadable.append(str(outcome))
                else:
                    yield outcome[0]
                    report.written += 1
                if on_progress:
                    on_progress(done, len(frames))

    with replace_folder(out) as folder:
        writer.finish(folder, records(folder), options)
        if not report.written:
            raise InputError(f"no frame could be read: {report.unreadable[0]}")
    return report


def _scores(result: Result) -> list[float]:
    """Mean probability of each class over the pixels that have it; 0 for a class without any."""
    best = result.probabilities.max(axis=0)  # (H, W)
    counts = count_ids(result.label)[: len(result.classes)]
    sums = np.bincount(result.label.ravel(), best.ravel(), minlength=len(counts))
    return [float(s / n) if n else 0.0 for s, n in zip(sums, counts, strict=False)]
