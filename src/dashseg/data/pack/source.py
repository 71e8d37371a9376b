"""Whether the source files of a pack have changed since."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dashseg.data.dataset import Dataset, FileDataset, Frame
from dashseg.data.pack.format import Row, Source, Stamp
from dashseg.data.partial import Relabelled
from dashseg.images import is_image_file


def describe_source(dataset: Dataset) -> Source:
    """Describe a data set before it is packed."""
    if not isinstance(dataset, FileDataset):
        origin = dataset.dataset if isinstance(dataset, Relabelled) else dataset
        packed: Source | None = getattr(origin, "source", None)  # a pack's own origin
        kind = dataset.kind if packed is None else packed.kind
        return Source(dataset.root, kind, dataset.fingerprint(), {})
    root = Path(dataset.root).resolve()
    folders = {
        Path(os.path.relpath(path.parent, dataset.root)).as_posix()
        for frame in dataset.frames
        for path in (frame.image, frame.mask)
    }
    counts = {folder: _image_files(root / folder) for folder in sorted(folders)}
    return Source(str(root), dataset.kind, dataset.fingerprint(), counts)


def stamp(frame: Frame) -> Stamp:
    """Sizes and times of a frame's files, which show changes without reading them."""
    image, mask = frame.image.stat(), frame.mask.stat()
    return image.st_size, image.st_mtime_ns, mask.st_size, mask.st_mtime_ns


def what_changed(source: Source, rows: Sequence[Row]) -> str:
    """A description; "" if nothing has changed, or the source is not on this machine.

    Files that were merely touched count as changed, since no file is read.
    """
    root = Path(source.root)
    if not source.folders or not root.is_dir():
        return ""
    found = {folder: _image_files(root / folder) for folder in source.folders}
    if not any(found.values()):
        return ""  # another folder with that name, or a disk that is not mounted
    changes = [
        f"{folder} has {found[folder]} image files instead of {count}"
        for folder, count in source.folders.items()
        if found[folder] != count
    ]
    changed = [row.name for row in rows if row.files and _stamp_below(root, row) != row.stamp]
    if changed:
        changes.append(f"{len(changed)} frames have changed, the first being {changed[0]}")
    return " and ".join(changes)


def _stamp_below(root: Path, row: Row) -> Stamp | None:
    image, mask = row.files or ("", "")
    with suppress(OSError, ValueError):  # ValueError: a NUL in the name
        return stamp(Frame(row.name, root / image, root / mask))
    return None


def _image_files(folder: Path) -> int:
    try:
        return sum(is_image_file(Path(entry.name)) for entry in os.scandir(folder))
    except (OSError, ValueError):
        return 0
