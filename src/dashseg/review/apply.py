"""A review and the marks made on its page -> a copy of the data set with the accepted masks.

A frame marked "wrong" gets its proposed mask, as it lies in OUT/proposals/ (edited or not). Pixels
that the proposal leaves alone keep their own colour or id, such as one of CamVid's 32. All other
files are copied byte for byte.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dashseg.config import DataConfig
from dashseg.data import comma10k
from dashseg.data.dataset import FileDataset, Frame
from dashseg.data.sources import find_layout
from dashseg.errors import InputError
from dashseg.files import (
    join_inside,
    make_folder,
    read_json,
    write_json,
    writing_to,
)
from dashseg.images import encode_png, read_pixels
from dashseg.labels import IGNORE, Classes, Label, decode_mask, read_mask
from dashseg.outputs import replace_folder, require_empty
from dashseg.review.corrections import mend
from dashseg.review.output import FACTS, SUSPECTS
from dashseg.review.page import proposal_path
from dashseg.tables import read_table

CHANGES = "changes.json"
MARKS = ("wrong", "right", "unsure")


def apply_review(
    out: str | Path,
    marks: str | Path,
    to: str | Path,
    data: str | Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Copy a reviewed data set, with the proposed masks of the frames marked "wrong".

    Args:
        out: the review's folder.
        marks: the JSON that its page saved.
        to: the copy's folder, a new name outside the data set.
        data: the data set's folder; None: where it was when it was reviewed.
        on_progress: called with (frames done, frames in all).

    Returns:
        What `to`/changes.json holds: how many frames there are, and for each accepted frame its
        mask, how many pixels changed, and from which class to which.

    Raises:
        InputError: not a review or not its marks; the data has changed since; a proposal cannot be
            read or has another size; `to` exists, lies in the data set, or cannot be written.
    """
    out, to = Path(out), Path(to)
    facts = read_json(out / FACTS)
    reviewed = facts.get("data") if isinstance(facts, dict) else None
    if not isinstance(reviewed, dict) or not isinstance(reviewed.get("root"), str):
        raise InputError(f"{out / FACTS}: not a review's")
    root = Path(data or reviewed["root"])
    require_empty(to)
    if to.resolve().is_relative_to(root.resolve()) or to.resolve().is_relative_to(out.resolve()):
        raise InputError(f"{to} is inside {root} or {out}: choose a folder elsewhere for the copy")
    dataset = _reviewed_data(root, reviewed, out)
    accepted = _accepted(Path(marks), reviewed, dataset)
    changes: dict[str, dict[str, Any]] = {}
    with replace_folder(to) as folder:
        for path in sorted(root.iterdir()):
            if path.is_file():
                _copy(path, folder / path.name)
        for done, frame in enumerate(dataset.frames, 1):
            _copy(frame.image, folder / frame.image.relative_to(root))
            mask = folder / frame.mask.relative_to(root)
            if frame.name in accepted:
                pixels, change = _mended(frame, out, dataset.classes)
                mask = mask.with_suffix(".png")
                make_folder(mask.parent)
                with writing_to(mask):
                    mask.write_bytes(encode_png(pixels, flat=True))
                shown = mask.relative_to(folder).as_posix()
                changes[frame.name] = {"mask": shown, **change}
            else:
                _copy(frame.mask, mask)
            if on_progress:
                on_progress(done, len(dataset))
        listed = {"schema": 1, "data": str(root), "frames": len(dataset), "changed": changes}
        write_json(folder / CHANGES, listed)
    return listed


def _reviewed_data(root: Path, reviewed: dict[str, Any], out: Path) -> FileDataset:
    """The whole data set; its reviewed frames must be as they were."""
    _, layout = find_layout(str(root), reviewed.get("kind"))
    config = DataConfig(root=str(root))
    if layout is comma10k:
        config = DataConfig(root=str(root), parts=comma10k.parts_in(root))
    dataset: FileDataset = layout.find(root, config)
    try:
        names = [row["name"] for row in read_table(out / SUSPECTS)]
    except KeyError as error:
        raise InputError(f"{out / SUSPECTS}: it has no column 'name'") from error
    if dataset.select(names, "all").fingerprint() != reviewed.get("fingerprint"):
        raise InputError(f"{root}: not the frames and masks that were reviewed, or changed since")
    return dataset


def _accepted(path: Path, reviewed: dict[str, Any], dataset: FileDataset) -> set[str]:
    """Names of the frames marked "wrong"."""
    values = read_json(path)
    marks = values.get("marks") if isinstance(values, dict) else None
    if not isinstance(marks, list) or not all(
        isinstance(mark, dict) and isinstance(mark.get("name"), str) and mark.get("mark") in MARKS
        for mark in marks
    ):
        raise InputError(f"{path}: not the marks that a review's page saves")
    if values.get("fingerprint") != reviewed.get("fingerprint"):
        raise InputError(f"{path}: the marks of another review")
    by_name = {mark["name"]: mark["mark"] for mark in marks}
    unknown = by_name.keys() - set(dataset.names)
    if unknown or len(by_name) < len(marks):
        what = f"{min(unknown)!r} is not in the data" if unknown else "a frame is marked twice"
        raise InputError(f"{path}: {what}")
    accepted = {name for name, mark in by_name.items() if mark == "wrong"}
    if not accepted:
        raise InputError(f"{path}: no frame is marked wrong, so there is nothing to apply")
    return accepted


def _mended(frame: Frame, out: Path, classes: Classes) -> tuple[Label, dict[str, Any]]:
    """The mask's pixels with what the proposal changes, and what that is."""
    pixels = read_pixels(frame.mask)
    drawn = decode_mask(pixels, classes, str(frame.mask))
    proposal = join_inside(out, proposal_path(frame.name))
    proposed = read_mask(proposal, classes)
    if proposed.shape != drawn.shape:
        raise InputError(f"{proposal}: {proposed.shape} pixels, its frame's mask has {drawn.shape}")
    changed = proposed != drawn
    counts: dict[str, int] = {}
    names = (*classes.names, *[""] * (IGNORE - len(classes)), "ignored")
    for new in np.unique(proposed[changed]).tolist():
        here = changed & (proposed == new)
        for old, count in zip(*np.unique(drawn[here], return_counts=True), strict=True):
            counts[f"{names[old]} -> {names[new]}"] = int(count)
    mended = mend(pixels, drawn, proposed, classes, str(proposal))
    return mended, {"pixels": int(changed.sum()), "classes": counts}


def _copy(source: Path, target: Path) -> None:
    make_folder(target.parent)
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise InputError(f"{source}: cannot be copied: {error.strerror}") from error
