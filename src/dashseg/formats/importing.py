"""Another tool's data set -> images/, masks/ and palette.yaml, which every verb reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from dashseg.data.dataset import listed
from dashseg.data.folder import PALETTE
from dashseg.errors import InputError
from dashseg.files import (
    join_inside,
    write_json,
    write_text,
)
from dashseg.formats.archive import unpacked
from dashseg.formats.class_map import UNMAPPED, ClassMap, read_class_map, same_classes
from dashseg.formats.drawing import to_label
from dashseg.formats.source import Raster, ReadOptions, Source, SourceClass, SourceFrame
from dashseg.formats.table import READERS, recognise
from dashseg.formats.writing import LINKS, place_file, require_choice
from dashseg.images import decode_pixels, encode_png, image_size
from dashseg.labels import IGNORE, Classes, count_ids, hex_colour
from dashseg.outputs import replace_folder, require_empty
from dashseg.parallel import in_processes

_REPORT = "import.json"


@dataclass(frozen=True)
class Imported:
    """What an import wrote.

    Args:
        root: the new data set.
        format: the source's format.
        why: how it was recognised, in words.
        classes: of the new data set.
        frames: number of frames per split; "" where the source has no splits.
        pixels: int (number of classes + 1,): pixels of each class, and of none (ignore).
        snapped: pixels that were brought to the nearest palette colour.
        skipped: one line for each file that could not be used.
        notes: lines for the user.
    """

    root: Path
    format: str
    why: str
    classes: Classes
    frames: dict[str, int]
    pixels: tuple[int, ...]
    snapped: int = 0
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON; "schema": 1."""
        return {
            "schema": 1,
            "root": str(self.root),
            "format": self.format,
            "why": self.why,
            "frames": self.frames,
            "classes": [
                {"name": name, "colour": hex_colour(colour), "pixels": pixels}
                for name, colour, pixels in zip(
                    self.classes.names, self.classes.colours, self.pixels[:-1], strict=True
                )
            ],
            "ignored": self.pixels[-1],
            "snapped": self.snapped,
            "skipped": list(self.skipped),
            "notes": list(self.notes),
        }


def import_labels(
    source: str | Path,
    out: str | Path,
    *,
    format: str | None = None,
    classes: str | None = None,
    link: str = "copy",
    masks: str = "colour",
    annotator: str | None = None,
    snap: bool = False,
    skip_broken: bool = False,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Imported:
    """Write a data set in another tool's format as one that every verb reads.

    Nothing in `source` is changed. `out` appears whole or not at all.

    Args:
        source: a folder, a .zip file or a .json file.
        out: new folder for images/, masks/ and palette.yaml.
        format: one of `READERS`; None: recognised.
        classes: a map file (`dashseg.formats.class_map`), "comma10k" for a built-in map, or None:
            the source's own classes.
        link: how images get into `out`: "copy", "hard" or "symbolic" links.
        masks: labels are stored in the palette's colours ("colour") or as ids ("id").
        annotator: Label Studio: whose annotations to take; None: the newest.
        snap: folders of masks: bring colours outside the palette to the nearest palette colour.
        skip_broken: leave out files that cannot be used; they are listed in the result.
        workers: processes; by default one per core.
        on_progress: called with (frames done, frames in all).

    Raises:
        InputError: no such format, files that cannot be used, classes that the map does not name
            (listed with their counts), or `out` exists.
    """
    source, out = Path(source), Path(out)
    require_choice("--link", link, LINKS)
    require_choice("--masks", masks, ("colour", "id"))
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    require_empty(out)
    if format is not None:
        require_choice("--format", format, READERS)
    with replace_folder(out) as folder, unpacked(source, folder) as opened:
        name, why = (format, "--format says so") if format else recognise(opened)
        found = READERS[name].read(opened, ReadOptions(annotator, snap))
        if opened != source and link == "symbolic":
            raise InputError(f"--link symbolic: the images are inside {source.name}; use copy")
        problems = list(found.problems)
        if problems and not skip_broken:
            raise _unusable(source, problems, len(found.frames))
        _require_unique_names(found)
        chosen = (
            read_class_map(classes, found.classes, name, found.ordered)
            if classes
            else same_classes(found.classes)
        )
        work = partial(
            _write_frame,
            _Job(folder, chosen, link if opened == source else "hard", masks),
        )
        tally = _Tally(len(chosen.classes))
        for result in in_processes(work, found.frames, workers, on_progress):
            tally.add(result)
        problems += tally.problems
        if tally.unmapped:
            raise InputError(_unmapped_message(source, found.classes, tally.unmapped, classes))
        if problems and not skip_broken:
            raise _unusable(source, problems, len(found.frames))
        if not tally.frames:
            raise InputError(f"{source}: no frame can be used: {listed(problems) or 'it is empty'}")
        write_palette(folder / PALETTE, chosen.classes, masks)
        notes = list(found.notes)
        if tally.uncovered and chosen.background == IGNORE:
            notes.append(
                "pixels that no shape covers are ignored; a background in --classes MAP.yaml gives"
                " them a class"
            )
        if chosen.unused:
            notes.append(
                f"{classes} names classes that the source does not have: {listed(chosen.unused)}"
            )
        imported = Imported(
            out, name, why, chosen.classes, dict(tally.frames), tuple(map(int, tally.pixels)),
            tally.snapped, tuple(problems), tuple(notes),
        )  # fmt: skip
        write_json(folder / _REPORT, imported.to_dict())
    return imported


class _Job(NamedTuple):
    """What every worker process needs."""

    folder: Path
    map: ClassMap
    link: str
    masks: str


class _Written(NamedTuple):
    """What became of one frame: a problem, unmapped classes, or counts of its pixels."""

    split: str
    pixels: Any = None
    snapped: int = 0
    uncovered: bool = False
    unmapped: Counter[int] = Counter()  # noqa: RUF012 - never changed
    problem: str = ""


@dataclass
class _Tally:
    classes: int
    frames: Counter[str] = field(default_factory=Counter)
    unmapped: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    snapped: int = 0
    uncovered: bool = False

    def __post_init__(self) -> None:
        self.pixels = np.zeros(self.classes + 1, np.int64)

    def add(self, result: _Written) -> None:
        self.unmapped.update(result.unmapped)
        if result.problem:
            self.problems.append(result.problem)
        elif not result.unmapped:
            self.frames[result.split] += 1
            self.pixels += result.pixels
            self.snapped += result.snapped
            self.uncovered |= result.uncovered


def _write_frame(job: _Job, frame: SourceFrame) -> _Written:
    what = frame.name if isinstance(frame.image, bytes) else str(frame.image)
    try:
        if isinstance(frame.image, bytes):
            size = decode_pixels(frame.image, what).shape[:2]
        else:
            size = image_size(frame.image)
        content = frame.label((size[0], size[1]))
        if unmapped := _unmapped(content, job.map):
            return _Written(frame.split, unmapped=unmapped)
        try:
            label = to_label(
                content, (size[0], size[1]), job.map.targets, job.map.background, job.map.ranks
            )
        except InputError as error:
            raise InputError(f"{what}: {error}") from error
        _write(job, frame, label)
    except InputError as error:
        return _Written(frame.split, problem=str(error))
    counts = count_ids(label)
    pixels = np.append(counts[: len(job.map.classes)], counts[IGNORE])
    if isinstance(content, Raster):
        return _Written(frame.split, pixels, content.snapped)
    return _Written(frame.split, pixels, uncovered=bool(counts[IGNORE]))


def _unmapped(content: Any, map: ClassMap) -> Counter[int]:
    """Source classes without a target -> their pixels or shapes in this frame."""
    without = np.flatnonzero(map.targets == UNMAPPED)
    if len(without) == 0:
        return Counter()
    if isinstance(content, Raster):
        counts = np.bincount(content.pixels.ravel(), minlength=len(map.targets))
        return Counter({int(index): int(counts[index]) for index in without if counts[index]})
    missing = set(without.tolist())
    return Counter(s.class_index for s in content.shapes if s.class_index in missing)


def _write(job: _Job, frame: SourceFrame, label: Any) -> None:
    name = f"{frame.split}/{frame.name}" if frame.split else frame.name
    suffix = frame.image_suffix if isinstance(frame.image, bytes) else frame.image.suffix
    image = join_inside(job.folder / "images", name + suffix)
    mask = join_inside(job.folder / "masks", name + ".png")
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(frame.image, bytes):
        image.write_bytes(frame.image)
    else:
        place_file(frame.image, image, job.link)
    if job.masks == "id":
        pixels = label
    else:
        (ignore,) = job.map.classes.aliases or ((0, 0, 0),)
        palette = job.map.classes.palette.copy()
        palette[IGNORE] = ignore
        pixels = palette[label]
    mask.write_bytes(encode_png(pixels, flat=True))


def write_palette(path: Path, classes: Classes, masks: str) -> None:
    """Write a palette.yaml; masks: "colour" or "id"."""
    colours = {
        name: hex_colour(colour)
        for name, colour in zip(classes.names, classes.colours, strict=True)
    }
    values: dict[str, Any] = {"classes": colours}
    if masks == "id":
        values["masks"] = "id"
    else:
        values["ignore"] = [hex_colour(colour) for colour in classes.aliases]
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _require_unique_names(source: Source) -> None:
    seen: dict[tuple[str, str], SourceFrame] = {}
    for frame in source.frames:
        key = (frame.split, frame.name)
        if other := seen.get(key):
            first, second = (
                str(f.image) if isinstance(f.image, Path) else f"{f.name} (embedded)"
                for f in (other, frame)
            )
            raise InputError(f"{first} and {second} would both become {frame.name}: rename one")
        seen[key] = frame


def _unusable(source: Path, problems: list[str], count: int) -> InputError:
    return InputError(
        f"{source}: {len(problems)} of {max(count, len(problems))} frames cannot be used"
        f" (--skip-broken leaves them out): {listed(problems)}"
    )


def _unmapped_message(
    source: Path, classes: tuple[SourceClass, ...], unmapped: Counter[int], map: str | None
) -> str:
    counts = ", ".join(f"{classes[index].name} ({n})" for index, n in unmapped.most_common())
    return (
        f"{source}: {map} does not name {len(unmapped)} of the source's classes, here with their"
        f" pixels or shapes: {counts}. Put each under a class or under ignore"
    )
