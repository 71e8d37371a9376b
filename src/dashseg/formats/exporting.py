"""A data set -> files that another tool reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dashseg.data.dataset import Dataset, FileDataset
from dashseg.data.folder import split_called
from dashseg.formats.table import WRITERS
from dashseg.formats.writing import LabelledFrame, WriteOptions, require_choice
from dashseg.labels import Image
from dashseg.outputs import replace_folder, require_empty
from dashseg.parallel import in_processes


@dataclass(frozen=True)
class Exported:
    """What an export wrote: the new folder, the format, and the number of frames."""

    root: Path
    format: str
    frames: int


def export_labels(
    dataset: Dataset,
    out: str | Path,
    format: str,
    *,
    tolerance: float = 0.0,
    smallest: int = 1,
    images: str = "copy",
    image_root: str = "",
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write a data set in another tool's format.

    Args:
        dataset: labelled frames.
        out: new folder; appears whole or not at all.
        format: one of `WRITERS`.
        tolerance: pixels that a polygon may stray from the label's edge; 0 is exact.
        smallest: regions of fewer pixels are not written, in formats of polygons.
        images: "copy", "hard" or "symbolic" links, or "none".
        image_root: Label Studio: what to put before an image's name to make its URL.
        workers: processes; by default one per core.
        on_progress: called with (frames done, frames in all).

    Raises:
        InputError: no such format, `out` exists, or a frame cannot be read.
    """
    out = Path(out)
    require_choice("--format", format, WRITERS)
    options = WriteOptions(dataset.classes, tolerance, smallest, images, image_root)
    require_empty(out)
    with replace_folder(out) as folder:
        work = partial(_write, dataset, folder, format, options)
        records = in_processes(work, range(len(dataset)), workers, on_progress)
        WRITERS[format].finish(folder, records, options)
    return Exported(out, format, len(dataset))


def _write(dataset: Dataset, folder: Path, format: str, options: WriteOptions, index: int) -> Any:
    image: Path | Image
    if isinstance(dataset, FileDataset):
        stored = dataset.frames[index]
        image, label, name = stored.image, dataset.label(index), stored.name
    else:
        image, label, name = dataset[index]
    split, _, rest = name.partition("/")
    if split_called(split) is None or not rest:
        split, rest = "", name
    frame = LabelledFrame(rest, image, label, split_called(split) or "", index=index)
    return WRITERS[format].write_frame(folder, frame, options)
