"""Write a repaired copy of a data set.

Sound files are copied byte for byte. What can be repaired without a guess is repaired; the rest is
left out and listed in repairs.json.

- An alpha channel is dropped. A file with fully transparent pixels is left out: their colour means
  nothing.
- A palette is expanded; 16 bits become 8 if nothing is lost; grey images become RGB.
- Antialiased mask pixels get the palette colour that they hold most of (see `colours`).
- Files are moved or renamed if they fit only one frame.
- Of two frames with the same image the first stays. Frames that share a mask are left out: it was
  drawn for only one of them.
- Ids that resizing a mask left between two others become those of the nearer side.
- Frames with warnings alone (suspected shifts, single-class masks, unexpected sizes) are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from dashseg.curate.check.blended import without_blends
from dashseg.curate.check.check import Report, check
from dashseg.curate.check.colours import rgb_of, snap
from dashseg.curate.check.inventory import target
from dashseg.curate.check.judge import usable_frames
from dashseg.curate.check.picture import plain_image, plain_mask, read_picture
from dashseg.curate.check.problems import WARNINGS, FrameKey, Problem
from dashseg.data import comma10k
from dashseg.data.folder import PALETTE
from dashseg.data.folder_pair import FolderPair
from dashseg.errors import InputError
from dashseg.files import make_folder, write_json
from dashseg.images import encode_png
from dashseg.labels import UNKNOWN, look_up, stored_values
from dashseg.outputs import replace_folder, require_empty
from dashseg.parallel import in_processes
from dashseg.scenes.names import MARK

LIST = "repairs.json"
_KEPT = (PALETTE, comma10k.TRAINABLE, MARK)  # files that the layouts read
_TEXTS = ("LICENSE", "README")  # copied along with the data
_IN_PIXELS = ("alpha", "palette-png", "wrong-depth", "unknown-colour", "interpolated-ids")
_DONE = {
    "alpha": "alpha channel dropped",
    "palette-png": "palette expanded",
    "wrong-depth": "stored with 8 bits and the channels expected",
    "unknown-colour": "antialiased pixels snapped to the palette colour they hold most of",
    "interpolated-ids": "ids between two others along edges changed to those of the nearer side",
    "stray-file": "not copied",
}


class Task(NamedTuple):
    """One file of the copy: its source, its new path, and whether its pixels change."""

    frame: FrameKey
    source: Path
    to: Path  # relative to the copy
    role: str
    rewrite: bool


class Repairs(NamedTuple):
    """What `repair` did."""

    out: Path
    frames: int  # in the copy
    repaired: list[dict[str, Any]]  # file, code, done
    left_out: list[dict[str, Any]]  # files, codes, why

    def to_json(self) -> dict[str, Any]:
        return {**self._asdict(), "out": str(self.out)}


def repair(
    report: Report,
    out: Path,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Repairs:
    """Write a repaired copy. It appears once it has been checked without errors.

    Args:
        report: of the data set, which must not have changed since.
        out: the copy's folder, a new name outside the data set.
        workers: processes; None: one per core.
        on_progress: called with (files written + frames checked, how many in all).

    Raises:
        InputError: `out` exists or is inside the data set; no frame is left; the disk is full.
    """
    inventory = report.inventory
    refuse_taken(out, inventory.root)
    tasks = _tasks(report)
    if not tasks:
        raise _nothing_left(report)

    def on_write(done: int, count: int) -> None:
        if on_progress:
            on_progress(done, count + count // 2)

    with replace_folder(out, last=LIST) as folder:
        for parent in sorted({folder / task.to.parent for task in tasks}):
            make_folder(parent)
        for path in sorted(inventory.root.iterdir()):
            if path.is_file() and (path.name in _KEPT or path.stem.upper() in _TEXTS):
                (folder / path.name).write_bytes(_read(path))
        write = partial(_write, inventory.pairs, folder)
        for _ in in_processes(write, tasks, workers, on_write):
            pass
        found_again = _take_out(report, folder, tasks, workers, on_progress)
        repairs = _list(report, out, tasks, found_again)
        listed = {"schema": 1, "source": report.root, **repairs.to_json()}
        del listed["out"]
        write_json(folder / LIST, listed)
    return repairs


def refuse_taken(out: Path, root: Path) -> None:
    """Raise InputError if `out` exists and is not empty, or is inside the data set."""
    require_empty(out)
    if out.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{out} is inside {root}: choose a folder elsewhere for the copy")


def _nothing_left(report: Report) -> InputError:
    return InputError(
        f"{report.root}: no frame is sound or can be repaired without a guess, so nothing is"
        " copied; run check without --fix to list what is wrong"
    )


def _tasks(report: Report) -> list[Task]:
    """Both files of every frame that is sound or can be repaired."""
    inventory = report.inventory
    facts = dict(zip(inventory.slots, report.facts, strict=False))
    changed = {p.file for p in report.problems if p.code in _IN_PIXELS}
    tasks = []
    for key, slot in usable_frames(inventory, report.problems).items():
        sides = [("image", slot.image, facts[key].image), ("mask", slot.mask, facts[key].mask)]
        swapped = all(side is not None and side.foreign for _, _, side in sides)
        for role, source, side in sides:
            assert source is not None and side is not None
            role = {"image": "mask", "mask": "image"}[role] if swapped else role
            to = target(inventory, key, role, source)
            rewrite = (
                inventory.shown(source) in changed
                or not side.named_right
                or to.suffix.lower() != source.suffix.lower()
            )
            tasks.append(
                Task(key, source, to.with_suffix(".png") if rewrite else to, role, rewrite)
            )
    return tasks


def _write(pairs: Sequence[FolderPair], folder: Path, task: Task) -> None:
    if not task.rewrite:
        (folder / task.to).write_bytes(_read(task.source))
        return
    picture = read_picture(task.source)
    classes = pairs[task.frame.pair].classes
    pixels = plain_image(picture) if task.role == "image" else plain_mask(picture, classes)
    if pixels is None:
        raise InputError(f"{task.source}: changed while it was being repaired; rerun the command")
    if task.role == "mask" and classes.stored_as == "colour":
        unknown = look_up(pixels, classes) == UNKNOWN
        codes = stored_values(pixels, classes).astype("uint32")
        pixels = rgb_of(snap(codes, unknown, classes)[0])
    elif task.role == "mask":
        pixels = without_blends(pixels)[0]
    (folder / task.to).write_bytes(encode_png(pixels, flat=task.role == "mask"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:  # the caller reports errors of the copy's disk
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _take_out(
    report: Report,
    folder: Path,
    tasks: Sequence[Task],
    workers: int | None,
    on_progress: Callable[[int, int], None] | None,
) -> dict[FrameKey, list[Problem]]:
    """Check the copy and remove frames with errors, until there are none.

    Repairs can reveal errors: a mask that equals another one now that its edges are clean.
    """

    def on_check(done: int, count: int) -> None:
        if on_progress:
            on_progress(len(tasks) + done, len(tasks) + count)

    frame_of = {task.to: task.frame for task in tasks}
    lost: dict[FrameKey, list[Problem]] = {}
    while True:
        parts = comma10k.parts_in(folder) if report.has_parts else None
        again = check(str(folder), report.kind, parts, workers, on_check, report.ignored)
        errors = [problem for problem in again.problems if problem.code not in WARNINGS]
        if not any(problem.frames for problem in errors):
            return lost
        for problem in errors:
            for copied in problem.frames:
                slot = again.inventory.slots[copied]
                for path in (slot.image, slot.mask):
                    if path is not None:
                        key = frame_of[path.relative_to(folder)]
                        lost.setdefault(key, []).append(problem)
                        break
        for task in tasks:
            if task.frame in lost:
                (folder / task.to).unlink(missing_ok=True)
        for parent in {folder / task.to.parent for task in tasks}:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        if all(task.frame in lost for task in tasks):
            raise _nothing_left(report)


def _list(
    report: Report,
    out: Path,
    tasks: Sequence[Task],
    found_again: dict[FrameKey, list[Problem]],
) -> Repairs:
    """The repairs by file, and what was left out by frame."""
    inventory = report.inventory
    kept = {task.frame for task in tasks} - found_again.keys()
    to = {inventory.shown(task.source): task.to.as_posix() for task in tasks}
    repaired = []
    problems_of: dict[FrameKey, list[Problem]] = {}
    alone: dict[str, list[Problem]] = {}  # by file, of files that belong to no frame
    for problem in report.problems:
        for key in problem.frames:
            problems_of.setdefault(key, []).append(problem)
        if problem.repairable and kept.issuperset(problem.frames):
            done = _DONE.get(problem.code, "now {to}").format(to=to.get(problem.file, ""))
            repaired.append({"file": problem.file, "code": problem.code, "done": done})
        elif not problem.frames:
            alone.setdefault(problem.file, []).append(problem)
    left_out = [_left_out([file], problems) for file, problems in alone.items()]
    for key, slot in inventory.slots.items():
        if key not in kept:
            files = [inventory.shown(path) for path in (slot.image, slot.mask) if path]
            causes = [*problems_of.get(key, ()), *found_again.get(key, ())]
            left_out.append(_left_out(files, [p for p in causes if p.loses_frames] or causes))
    return Repairs(out, len(kept), repaired, left_out)


def _left_out(files: list[str], problems: Collection[Problem]) -> dict[str, Any]:
    return {
        "files": files,
        "codes": list(dict.fromkeys(problem.code for problem in problems)),
        "why": list(dict.fromkeys(problem.detail for problem in problems)),
    }
