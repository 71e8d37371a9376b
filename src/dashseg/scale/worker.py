"""What an actor does: it holds the model, and turns the rows of a shard into files in DST."""

from __future__ import annotations

import hashlib
import platform
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dashseg.errors import InputError
from dashseg.images import MAX_BYTES, decode_image, read_image
from dashseg.inference.pipeline import Pace, run
from dashseg.inference.segmenter import Result, Segmenter
from dashseg.labels import Image
from dashseg.scale.containers import index, is_tar, read_part
from dashseg.scale.model import open_model
from dashseg.scale.outputs import FORMATS
from dashseg.scale.plan import Plan, read_plan
from dashseg.scale.record import Record, Tries, require_same_code
from dashseg.scale.row import Row, is_video
from dashseg.scale.storage import Storage, is_url

_TRIES = 2  # of a shard with all rows at once; a node that dies is rarely at the same one again
_WRITERS = 16  # threads: an object store answers in some 50 ms, and a frame has two files


@dataclass(frozen=True)
class Job:
    """All that an actor must know; it reads the rest from DST.

    Args:
        out: DST.
        model, digest: the file to load, and the digest of all the model's files.
        code: digest of dashseg's source on the driver.
    """

    out: Storage
    format: Literal["files", "parquet"]
    model: str
    digest: str
    code: str
    device: str = "cpu"
    tta: tuple[str, ...] = ()
    batch_size: int | None = None


class Done(NamedTuple):
    """Of a shard: frames that were to be done, and those of them in rows that failed."""

    frames: int = 0
    errors: int = 0


class Worker:
    """Each actor has one and calls it with the numbers of shards."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._record = Record(job.out)

    def __call__(self, number: int) -> Done:
        """Do what is missing of a shard.

        Raises:
            InputError: the model or DST cannot be used.
        """
        rows = self._plan.shard(number)
        if not self._record.is_done(number):
            missing = rows
        else:
            failed = {error["name"] for error in self._record.failed(number)}
            missing = [row for row in rows if row.name in failed]
        made, reasons = self._segment(missing, number)
        errors = [
            {"name": row.name, "path": row.path, "reason": reasons[row.name]}
            for row in missing
            if row.name in reasons
        ]
        self._write(number, self._format.files(self._job.out, number, rows, made))
        self._record.finish(number, errors)
        frames = sum(row.frames for row in missing)
        return Done(frames, sum(row.frames for row in missing if row.name in reasons))

    @cached_property
    def _plan(self) -> Plan:
        if self._record.settings() is None:
            raise InputError(
                f"{platform.node()} does not see {self._job.out}: name a folder that all"
                " machines share, or an object store"
            )
        require_same_code(self._job.code)
        return read_plan(self._record.folder)

    @cached_property
    def _segmenter(self) -> Segmenter:
        job = self._job
        many = self._pace.one_by_one
        return open_model(self._record.folder, job.model, job.digest, job.device, job.tta, many)

    @cached_property
    def _pace(self) -> Pace:
        return Pace(self._job.batch_size)

    @cached_property
    def _format(self) -> Any:
        return FORMATS[self._job.format]

    def _segment(self, rows: list[Row], shard: int) -> tuple[dict[str, Any], dict[str, str]]:
        """What is made of each frame, by its name; why rows failed, by theirs."""
        segmenter, order = self._segmenter, deque[_Unit]()
        tries = self._record.tries(shard)
        if tries.begun >= _TRIES:
            return self._segment_deadly(rows, shard, tries)
        if rows:
            self._record.note_try(shard, Tries(tries.begun + 1))
        made: dict[str, Any] = {}
        reasons: dict[str, str] = {}

        def units() -> Iterator[_Unit]:
            for unit in _units(rows):
                order.append(unit._replace(image=None))
                yield unit

        try:
            with closing(run(segmenter, units(), _read, self._encode, self._pace)) as outcomes:
                for outcome in outcomes:
                    unit = order.popleft()
                    if isinstance(outcome, InputError):
                        reasons[unit.row.name] = str(outcome)
                    else:
                        made[unit.name] = outcome
        except Exception:  # of a frame that harms its neighbours: it is found one by one
            made, reasons = {}, {}
            for row in rows:
                self._segment_one(row, made, reasons)
        return made, reasons

    def _segment_deadly(
        self, rows: list[Row], shard: int, tries: Tries
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """As `_segment`, of a shard that processes died of: each row is noted before it is read."""
        deadly = tries.deadly + ((tries.row,) if tries.row else ())
        made: dict[str, Any] = {}
        reasons: dict[str, str] = {}
        for row in rows:
            if row.name in deadly:
                reasons[row.name] = f"{row.path}: the process that read it died"
                continue
            self._record.note_try(shard, Tries(tries.begun, row.name, deadly))
            self._segment_one(row, made, reasons)
        self._record.note_try(shard, Tries(tries.begun, "", deadly))
        return made, reasons

    def _segment_one(self, row: Row, made: dict[str, Any], reasons: dict[str, str]) -> None:
        for unit in _units([row]):
            try:
                image, _ = _read(unit)
                made[unit.name] = self._encode(unit, *self._segmenter.batch([image]))
            except InputError as error:
                reasons[row.name] = str(error)
            except Exception as error:
                reasons[row.name] = f"{row.path}: {type(error).__name__}: {error}"

    def _encode(self, unit: _Unit, result: Result) -> Any:
        return self._format.encode(unit.name, unit.row.path, result)

    def _write(self, number: int, files: dict[str, bytes]) -> None:
        """Write the files of a shard, having noted their digests.

        Raises:
            InputError: one is there that is no earlier attempt's, or cannot be written.
        """
        out, earlier = self._job.out, self._record.begun(number)
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        known = {name: [*earlier.get(name, ()), digest] for name, digest in digests.items()}
        self._record.begin(
            number, {**earlier, **{n: [*dict.fromkeys(d)] for n, d in known.items()}}
        )

        def write(name: str) -> None:
            size = out.size(name)
            if size is not None:
                found = hashlib.sha256(out.read(name)).hexdigest() if size < MAX_BYTES else ""
                if found == digests[name]:
                    return
                if found not in known[name]:
                    raise InputError(
                        f"{out.url(name)} was not written by dashseg predict, or was changed"
                        " since: move it, or choose another folder"
                    )
            out.write(name, files[name])

        with ThreadPoolExecutor(_WRITERS) as threads:
            list(threads.map(write, files))


class _Unit(NamedTuple):
    """A frame: its name; the frame itself, if it had to be read with those before it; or why it,
    and those after it, could not be."""

    row: Row
    name: str
    image: Image | None = None
    error: str = ""


def _units(rows: list[Row]) -> Iterator[_Unit]:
    for row in rows:
        if not is_video(row.path):
            yield _Unit(row, row.name)
            continue
        try:
            for name, image in read_part(row):
                yield _Unit(row, name, image)
        except InputError as error:
            yield _Unit(row, row.name, error=str(error))


def _read(unit: _Unit) -> tuple[Image, _Unit]:
    row = unit.row
    if unit.error:
        raise InputError(unit.error)
    if unit.image is not None:
        return unit.image, unit._replace(image=None)
    if is_tar(row.path) and row.start < 0:
        index(row)  # it failed when it was planned, and says why again
    if row.start < 0 and not is_url(row.path):
        return read_image(Path(row.path)), unit
    start = max(0, row.start)
    with Storage(row.path).open() as file:
        size = (row.end if row.end >= 0 else file.size()) - start
        if size > MAX_BYTES:
            raise InputError(f"{row.path}: {size} bytes; at most {MAX_BYTES} are read")
        file.seek(start)
        data = file.read(size)
    where = row.path if row.end < 0 else f"{row.path}: {row.name}"
    return decode_image(data, where), unit
