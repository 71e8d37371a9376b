"""Rows -> shards, kept in DST: which rows each shard has never changes once it is planned.

A plan is Parquet files of up to 256 shards, a row group each, and an index that is written last.
Later rows are appended as further shards. Of each row 8 bytes are in memory while it is made.
"""

from __future__ import annotations

import io
import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray
from pyarrow.parquet import ParquetFile, ParquetWriter

from dashseg.errors import InputError
from dashseg.scale.row import Row
from dashseg.scale.storage import Storage

_INDEX, _FOLDER = "index.json", "plan"
_BATCH = 8192  # rows looked up at a time
_SHARDS = 256  # of a file
_LEAST, _FEW = 4, 64  # frames of a shard at least; shards that a small plan should have, to spread
_TYPES = {name: pyarrow.string() for name in ("name", "path")}
_SCHEMA = pyarrow.schema([(name, _TYPES.get(name, pyarrow.int64())) for name in Row._fields])


@dataclass(frozen=True)
class Plan:
    """The shards of a run; each has a number.

    Args:
        parts: of each file of the plan, how many frames each of its shards has.
    """

    storage: Storage
    parts: tuple[tuple[int, ...], ...] = ()

    def shard(self, number: int) -> list[Row]:
        """The rows of a shard."""
        for file, sizes in enumerate(self.parts):
            if number < len(sizes):
                table = _file(self.storage, file).read_row_group(number)
                return [Row(**row) for row in table.to_pylist()]
            number -= len(sizes)
        raise IndexError(number)

    def sizes(self) -> NDArray[np.int64]:
        """How many frames each shard has."""
        return np.array([size for part in self.parts for size in part], np.int64)

    def names(self) -> Iterator[str]:
        """The names of all rows, in order."""
        for file in range(len(self.parts)):
            for batch in _file(self.storage, file).iter_batches(columns=["name"]):
                yield from batch.column(0).to_pylist()


def read_plan(storage: Storage) -> Plan:
    """The plan that `extend` made; one without shards if there is none.

    Raises:
        InputError: it is damaged.
    """
    if storage.size(_INDEX) is None:
        return Plan(storage)
    try:
        parts = json.loads(storage.read(_INDEX))["parts"]
        return Plan(storage, tuple(tuple(map(int, part)) for part in parts))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{storage.url(_INDEX)}: damaged: use --overwrite") from error


def extend(plan: Plan, rows: Iterable[Row], largest: int) -> Plan:
    """Append the rows whose names the plan does not have yet.

    Args:
        largest: frames of a shard; a row of more is a shard. Few rows make smaller shards.

    Raises:
        InputError: two rows have one name.
    """
    known = np.sort(np.frombuffer(array("Q", map(_digest, plan.names())), np.uint64))
    digests = array("Q")

    def new() -> Iterator[Row]:
        waiting = iter(rows)
        while batch := list(islice(waiting, _BATCH)):
            found = array("Q", [_digest(row.name) for row in batch])
            for row, digest, is_known in zip(batch, found, _among(found, known), strict=True):
                if not is_known:
                    digests.append(digest)
                    yield row

    waiting = new()
    first = list(islice(waiting, _FEW * largest))
    few = -(-sum(row.frames for row in first) // _FEW)
    shards = _shards(chain(first, waiting), max(min(_LEAST, largest), min(largest, few)))
    parts = list(plan.parts)
    while part := list(islice(shards, _SHARDS)):
        buffer = io.BytesIO()
        with ParquetWriter(buffer, _SCHEMA) as writer:
            for shard in part:
                columns = [pyarrow.array(values) for values in zip(*shard, strict=True)]
                writer.write_table(pyarrow.table(columns, schema=_SCHEMA))
        plan.storage.write(_name(len(parts)), buffer.getvalue())
        parts.append(tuple(sum(row.frames for row in shard) for shard in part))
    extended = Plan(plan.storage, tuple(parts))
    _file.cache_clear()  # of files that an earlier call did not come to the end of
    if len(parts) > len(plan.parts):
        _refuse_twins(extended, np.frombuffer(digests, np.uint64))
        plan.storage.write(_INDEX, json.dumps({"parts": parts}).encode())
    return extended


def _shards(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Neighbours, as many as have `size` frames."""
    shard: list[Row] = []
    count = 0
    for row in rows:
        if shard and count + row.frames > size:
            yield shard
            shard, count = [], 0
        shard.append(row)
        count += row.frames
    if shard:
        yield shard


def _refuse_twins(plan: Plan, digests: NDArray[np.uint64]) -> None:
    digests = np.sort(digests)
    twins = digests[1:][digests[1:] == digests[:-1]]
    if not len(twins):
        return
    found: set[str] = set()
    for name in plan.names():
        if _digest(name) == twins[0]:
            if name in found:
                raise InputError(
                    f"two inputs would both be written as {name}: predict them into two folders,"
                    " or give a list with a column name"
                )
            found.add(name)


def _among(digests: array[int], known: NDArray[np.uint64]) -> list[bool]:
    """Whether each is in an array that is sorted."""
    if not len(known):
        return [False] * len(digests)
    values = np.frombuffer(digests, np.uint64)
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return (known[places] == values).tolist()


def _digest(name: str) -> int:
    # Two of 10⁷ names share one by a chance of 3 in a million.
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())


def _name(file: int) -> str:
    return f"{_FOLDER}/{file:05d}.parquet"


@lru_cache(maxsize=4)  # each holds its file in memory, a few megabytes
def _file(storage: Storage, file: int) -> Any:
    return ParquetFile(io.BytesIO(storage.read(_name(file))))
