"""Write a pack from a data set, in parallel. Rerun to resume.

An unfinished pack is a hidden folder beside the final one, or in it if it is there: the arrays,
what they will contain (plan.json), and which frames they contain so far (journal.jsonl), and which
predictions (predictions.jsonl). When complete, it is renamed.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.config import SMALLEST_SIDE, InputConfig
from dashseg.data.dataset import Dataset, FileDataset
from dashseg.data.pack.dataset import PackDataset
from dashseg.data.pack.format import (
    INDEX,
    Index,
    Row,
    Stamp,
    array_file,
    checksum,
    write_index,
)
from dashseg.data.pack.predictions import Predictions, Predictor
from dashseg.data.pack.source import describe_source, stamp
from dashseg.errors import InputError
from dashseg.files import MARK, lock, read_json, read_text, write_json, writing_to
from dashseg.images import image_size, resize_image
from dashseg.input_size import working_size
from dashseg.labels import Image, Label
from dashseg.outputs import move_into_place, require_empty
from dashseg.parallel import Spread, in_processes
from dashseg.shrink import shrink_label

FILTERS = {"area": None, "bilinear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST_EXACT}
_MAX_JOURNAL = 512 << 20  # bytes: several million frames
_ROOM = 1 << 26  # bytes left free on the disk: pack.json, and the user's other programs

Sizes = tuple[tuple[int, int], ...]


class _Predicted(NamedTuple):
    """A line of predictions.jsonl: a prediction that is in the arrays."""

    frame: int
    pixels: int  # checksum of the frame that was predicted
    checksum: int


class _Done(NamedTuple):
    """A line of the journal: a frame that is in the arrays."""

    frame: int
    checksum: int
    stamp: Stamp | None


@dataclass(frozen=True)
class _Job:
    """What every worker process needs."""

    dataset: Dataset
    folder: Path
    sizes: Sizes  # of the pairs of arrays
    places: tuple[tuple[int, int], ...]  # of each frame: which pair, which row
    filter: str
    predictor: Predictor | None = None
    shapes: Sizes = ()  # of its predictions, for each of `sizes`


def pack(
    dataset: Dataset,
    out: Path,
    splits: Mapping[str, set[str]],
    size: tuple[int, int] | None = None,
    resize: Literal["fit", "squash"] = "fit",
    filter: str = "area",
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    predictor: Predictor | None = None,
    on_predicted: Callable[[int, int], None] | None = None,
    spread: Spread | None = None,
) -> PackDataset:
    """Decode every frame once and write the pixels to `out`.

    Labels shrink by `dashseg.shrink.shrink_label`. The same call resumes a pack that was stopped or
    killed; frames that have changed since are read again.

    Args:
        dataset: all frames.
        out: the pack's folder; it appears when all frames are in it.
        splits: names in "train" and in "val" by the data set's own rule.
        size: (H, W) to resize frames to; None: native size.
        resize: "fit" keeps the aspect ratio within `size`, as recipes do; "squash" fills it.
        filter: how images are resized: "area", "bilinear" or "nearest".
        workers: processes; by default one per core.
        on_progress: called with (frames done, frames in all).
        on_note: called with a line for the user.
        predictor: a teacher; its predictions of the frames at the pack's size are stored too.
        on_predicted: called with (predictions done, frames in all).
        spread: reads and resizes the frames elsewhere, and this process writes them. None:
            processes here do both.

    Raises:
        InputError: `out` is not empty, the disk is too small, another process packs to the same
            place, or a frame cannot be read.
    """
    note = on_note or (lambda line: None)
    if filter not in FILTERS:
        raise InputError(f"--filter {filter}: expected {', '.join(FILTERS)}")
    require_empty(out)
    natives = _native_sizes(dataset)
    packed = natives
    if size is not None:
        if min(size) < SMALLEST_SIDE:
            raise InputError(f"--size {size[0]}x{size[1]}: {SMALLEST_SIDE} pixels or more a side")
        rule = InputConfig(size=size, resize=resize)
        packed = [working_size(native, rule) for native in natives]
    sizes = tuple(sorted(set(packed)))
    place = out.resolve()  # if it is there, it may be a disk's root: then its parent is another's
    inside = place / f".{place.name}{MARK}packing.part"
    unfinished = inside if place.is_dir() else place.with_name(f".{place.name}.packing")
    shapes = () if predictor is None else tuple(_predicted_shape(predictor, s) for s in sizes)
    job = _Job(dataset, unfinished, sizes, _places(packed, sizes), filter, predictor, shapes)
    taken = f"{unfinished}: another process is packing there"
    with lock(unfinished.with_suffix(".lock"), taken), _unmapped():
        done = _begin(job, note)
        with (unfinished / "journal.jsonl").open("a", encoding="utf-8") as journal:
            _write_frames(job, done, journal, workers, spread, on_progress)
        predictions = None if predictor is None else _write_predictions(job, done, on_predicted)
        rows = tuple(_row(job, natives, done[index]) for index in range(len(dataset)))
        index = Index(
            classes=dataset.classes,
            sizes=sizes,
            rows=rows,
            splits={side: sorted(splits[side]) for side in ("train", "val")},
            resized=dataset.resized or packed != natives,
            filter=filter,
            source=describe_source(dataset),
            predictions=predictions,
        )
        write_index(unfinished, index)
        require_empty(out)  # before it is too late to resume
        with writing_to(out):
            for name in ("plan.json", "journal.jsonl", "predictions.jsonl"):
                (unfinished / name).unlink(missing_ok=True)
            move_into_place(unfinished, place, last=INDEX)
            shutil.rmtree(unfinished, ignore_errors=True)
    return PackDataset(
        str(out), "all", index.classes, sizes, rows, index.source, index.resized, predictions
    )


def _native_sizes(dataset: Dataset) -> list[tuple[int, int]]:
    if isinstance(dataset, FileDataset):
        with ThreadPoolExecutor(8) as pool:  # waits for the disk, not for the processor
            return list(pool.map(image_size, (frame.image for frame in dataset.frames)))
    if isinstance(dataset, PackDataset):
        return [dataset.size(index) for index in range(len(dataset))]
    if dataset.kind == "synthetic":  # all of one size, and slow to draw
        height, width = dataset.label(0).shape
        return [(height, width)] * len(dataset)
    shapes = (dataset.label(index).shape for index in range(len(dataset)))
    return [(height, width) for height, width in shapes]


def _predicted_shape(predictor: Predictor, size: tuple[int, int]) -> tuple[int, int]:
    _, height, width = predictor(np.zeros((*size, 3), np.uint8)).shape
    return height, width


def _places(packed: list[tuple[int, int]], sizes: Sizes) -> tuple[tuple[int, int], ...]:
    counts = [0] * len(sizes)
    places = []
    for size in packed:
        number = sizes.index(size)
        places.append((number, counts[number]))
        counts[number] += 1
    return tuple(places)


def _begin(job: _Job, note: Callable[[str], None]) -> dict[int, _Done]:
    """Create the unfinished folder, or read its journal: index -> line."""
    plan = _plan(job)
    if job.folder.is_dir():
        done = _resume(job, plan)
        if done is not None:
            note(f"resuming: {len(done)} of {len(job.dataset)} frames are packed already")
            return done
        note("the unfinished pack there has other frames or options: starting over")
        shutil.rmtree(job.folder)
    arrays = list(_arrays(job))
    needed = sum(math.prod(shape) for _, shape in arrays) + _ROOM
    with writing_to(job.folder):
        free = shutil.disk_usage(job.folder.parent).free
    if needed > free:
        raise InputError(
            f"{job.folder.parent}: the pack needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are"
            " free: a smaller --size, or another disk"
        )
    with writing_to(job.folder):
        job.folder.mkdir()
        for path, shape in arrays:
            _allocate(path, shape)
        write_json(job.folder / "plan.json", plan)
    return {}


def _arrays(job: _Job) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """Every array's file and shape."""
    for number, size in enumerate(job.sizes):
        count = sum(place[0] == number for place in job.places)
        yield array_file(job.folder, "images", size), (count, *size, 3)
        yield array_file(job.folder, "labels", size), (count, *size)
        if job.predictor is not None:
            shape = (count, len(job.predictor.classes), *job.shapes[number])
            yield array_file(job.folder, "predictions", size), shape


def _plan(job: _Job) -> dict[str, Any]:
    """What must be the same to resume an unfinished pack. Plain JSON."""
    classes = job.dataset.classes
    return {
        "root": os.path.abspath(job.dataset.root),
        "names": list(job.dataset.names),
        "classes": [repr(classes)],
        "sizes": [list(size) for size in job.sizes],
        "places": [list(place) for place in job.places],
        "filter": job.filter,
        "teacher": None if job.predictor is None else job.predictor.digest,
        # Of files, the journal notes the times.
        "source": None if isinstance(job.dataset, FileDataset) else job.dataset.fingerprint(),
    }


def _allocate(path: Path, shape: tuple[int, ...]) -> None:
    """Write an array of zeros and reserve its disk space, so that the disk cannot fill up later."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    array.flush()
    del array
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _resume(job: _Job, plan: dict[str, Any]) -> dict[int, _Done] | None:
    """Packed frames whose files have not changed since; None if it is another pack."""
    try:
        if read_json(job.folder / "plan.json") != plan:
            return None
        lines = read_text(job.folder / "journal.jsonl", _MAX_JOURNAL).splitlines()
    except InputError:
        return None if not (job.folder / "plan.json").is_file() else {}
    done = {}
    for line in lines:
        # A line may be cut off, as the process was killed, or damaged.
        with suppress(ValueError, TypeError, IndexError, RecursionError):
            index, crc, made_of = json.loads(line)
            image, label = (_written(job, what, index) for what in ("images", "labels"))
            entry = _Done(index, crc, tuple(made_of) if made_of else None)
            if entry.stamp == _stamp(job.dataset, index) and checksum(image, label) == crc:
                done[index] = entry
    return done


def _write_frames(
    job: _Job,
    done: dict[int, _Done],
    journal: IO[str],
    workers: int | None,
    spread: Spread | None,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    """Write the frames that are not in `done`, and add them to it."""
    missing = [index for index in range(len(job.dataset)) if index not in done]
    alone = replace(job, predictor=None)  # the worker processes need no network
    entries = (
        in_processes(partial(_write_frame, alone), missing, workers)
        if spread is None
        else (_write(job, frame) for frame in spread(partial(_read_frame, alone), missing, workers))
    )
    with closing(entries):
        for entry in entries:
            done[entry.frame] = entry
            with writing_to(job.folder):
                journal.write(json.dumps(entry) + "\n")
                journal.flush()
            if on_progress:
                on_progress(len(done), len(job.dataset))


class _Frame(NamedTuple):
    """A frame as it will be in the arrays, and its line of the journal."""

    image: Image
    label: Label
    line: _Done


def _read_frame(job: _Job, index: int) -> _Frame:
    made_of = _stamp(job.dataset, index)  # before reading: a later change then shows
    sample = job.dataset[index]
    size = job.sizes[job.places[index][0]]
    image = np.ascontiguousarray(_resize(sample.image, size, job.filter))
    label = shrink_label(sample.label, size)
    return _Frame(image, label, _Done(index, checksum(image, label), made_of))


def _write(job: _Job, frame: _Frame) -> _Done:
    _written(job, "images", frame.line.frame)[...] = frame.image
    _written(job, "labels", frame.line.frame)[...] = frame.label
    return frame.line


def _write_frame(job: _Job, index: int) -> _Done:
    return _write(job, _read_frame(job, index))


def _write_predictions(
    job: _Job, done: dict[int, _Done], on_predicted: Callable[[int, int], None] | None
) -> Predictions:
    """Write the predictions of the frames in `done`, but for those that are there already."""
    assert job.predictor is not None
    path = job.folder / "predictions.jsonl"
    predicted = _predicted(job, done, path) if path.is_file() else {}
    with path.open("a", encoding="utf-8") as journal:
        for index in range(len(job.dataset)):
            if index not in predicted:
                codes = job.predictor(_written(job, "images", index))
                _written(job, "predictions", index)[...] = codes
                entry = _Predicted(index, done[index].checksum, zlib.crc32(codes.data))
                predicted[index] = entry
                with writing_to(job.folder):
                    journal.write(json.dumps(entry) + "\n")
                    journal.flush()
            if on_predicted:
                on_predicted(index + 1, len(job.dataset))
    checksums: list[list[int]] = [[] for _ in job.sizes]
    for index, (number, _) in enumerate(job.places):  # rows are in the frames' order
        checksums[number].append(predicted[index].checksum)
    teacher = job.predictor
    return Predictions(
        teacher.model, teacher.digest, teacher.classes, job.shapes,
        tuple(map(tuple, checksums)), teacher.trained_on,
    )  # fmt: skip


def _predicted(job: _Job, done: dict[int, _Done], path: Path) -> dict[int, _Predicted]:
    """The predictions that an earlier call has written, of frames that are still the same."""
    found = {}
    for line in read_text(path, _MAX_JOURNAL).splitlines():
        with suppress(ValueError, TypeError, LookupError, RecursionError):  # as in `_resume`
            entry = _Predicted(*json.loads(line))
            crc = zlib.crc32(_written(job, "predictions", entry.frame).data)
            if entry.pixels == done[entry.frame].checksum and crc == entry.checksum:
                found[entry.frame] = entry
    return found


def _resize(image: Image, size: tuple[int, int], filter: str) -> Image:
    interpolation = FILTERS[filter]
    if interpolation is None:
        return resize_image(image, size)
    return cv2.resize(image, size[::-1], interpolation=interpolation)


def _stamp(dataset: Dataset, index: int) -> Stamp | None:
    return stamp(dataset.frames[index]) if isinstance(dataset, FileDataset) else None


def _written(job: _Job, what: str, index: int) -> NDArray[np.uint8]:
    """A frame's row of an unfinished array, writable."""
    number, row = job.places[index]
    array: NDArray[np.uint8] = _mapped(array_file(job.folder, what, job.sizes[number]))[row]
    return array


@lru_cache(maxsize=32)
def _mapped(path: Path) -> NDArray[np.uint8]:
    array: NDArray[np.uint8] = np.load(path, mmap_mode="r+", allow_pickle=False)
    return array


@contextmanager
def _unmapped() -> Iterator[None]:
    """Forget mapped arrays before and afterwards: this pack's folder is renamed."""
    _mapped.cache_clear()
    try:
        yield
    finally:
        _mapped.cache_clear()


def _row(job: _Job, natives: list[tuple[int, int]], entry: _Done) -> Row:
    dataset, index = job.dataset, entry.frame
    files, native = None, natives[index]
    if isinstance(dataset, PackDataset):
        native = dataset.rows[index].native
    if isinstance(dataset, FileDataset):
        frame = dataset.frames[index]
        files = (_below(dataset.root, frame.image), _below(dataset.root, frame.mask))
    return Row(dataset.names[index], *job.places[index], native, entry.checksum, files, entry.stamp)


def _below(root: str, path: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()
