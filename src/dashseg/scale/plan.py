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
from typing import Any, NamedTuple

import numpy as np
import pyarrow
from numpy.typing import NDArray
from pyarrow.parquet import ParquetFile, ParquetWriter

from dashseg.errors import InputError
from dashseg.scale.sources import Row
from dashseg.scale.storage import Storage

_INDEX, _FOLDER = "index.json", "plan"
_SHARDS = 256  # of a file
_LEAST, _FEW = 4, 64  # rows of a shard at least; shards that a small plan should have, to spread
_SCHEMA = pyarrow.schema([(name, pyarrow.string()) for name in Row._fields])


class Part(NamedTuple):
    """A file of a plan: its rows, of which each shard has `size`, and the last one what is left."""

    rows: int
    size: int

    @property
    def shards(self) -> int:
        return -(-self.rows // self.size)


@dataclass(frozen=True)
class Plan:
    """The shards of a run; each has a number."""

    storage: Storage
    parts: tuple[Part, ...] = ()

    def shard(self, number: int) -> list[Row]:
        """The rows of a shard."""
        for file, part in enumerate(self.parts):
            if number < part.shards:
                table = _file(self.storage, file).read_row_group(number)
                return [Row(**row) for row in table.to_pylist()]
            number -= part.shards
        raise IndexError(number)

    def sizes(self) -> NDArray[np.int32]:
        """How many rows each shard has."""
        sizes = [np.full(part.shards, part.size, np.int32) for part in self.parts]
        for part, own in zip(self.parts, sizes, strict=True):
            own[-1] = part.rows - part.size * (part.shards - 1)
        return np.concatenate(sizes) if sizes else np.empty(0, np.int32)

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
        return Plan(storage, tuple(Part(*map(int, part)) for part in parts))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{storage.url(_INDEX)}: damaged: use --overwrite") from error


def extend(plan: Plan, rows: Iterable[Row], largest: int) -> Plan:
    """Append the rows whose names the plan does not have yet.

    Args:
        largest: rows of a shard. Few rows make smaller shards.

    Raises:
        InputError: two rows have one name.
    """
    known = _digests(plan.names())
    known.sort()
    digests = array("Q")

    def new() -> Iterator[Row]:
        for row in rows:
            digest = _digest(row.name)
            place = int(np.searchsorted(known, digest)) if len(known) else 0
            if place == len(known) or known[place] != digest:
                digests.append(digest)
                yield row

    waiting = new()
    first = list(islice(waiting, _FEW * largest))
    size = max(min(_LEAST, largest), min(largest, -(-len(first) // _FEW)))
    waiting = chain(first, waiting)
    parts = list(plan.parts)
    while True:
        buffer, groups, count = io.BytesIO(), 0, 0
        with ParquetWriter(buffer, _SCHEMA) as writer:
            while groups < _SHARDS and (shard := list(islice(waiting, size))):
                columns = [pyarrow.array(values) for values in zip(*shard, strict=True)]
                writer.write_table(pyarrow.table(columns, schema=_SCHEMA))
                groups, count = groups + 1, count + len(shard)
        if not groups:
            break
        plan.storage.write(_name(len(parts)), buffer.getvalue())
        parts.append(Part(count, size))
    extended = Plan(plan.storage, tuple(parts))
    _file.cache_clear()  # of files that an earlier call did not come to the end of
    if len(parts) > len(plan.parts):
        _refuse_twins(extended, np.frombuffer(digests, np.uint64))
        plan.storage.write(_INDEX, json.dumps({"parts": parts}).encode())
    return extended


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


def _digests(names: Iterator[str]) -> NDArray[np.uint64]:
    digests = array("Q")
    digests.extend(map(_digest, names))
    return np.frombuffer(digests, np.uint64) if digests else np.empty(0, np.uint64)


def _digest(name: str) -> int:
    # Two of 10⁷ names share one by a chance of 3 in a million.
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())


def _name(file: int) -> str:
    return f"{_FOLDER}/{file:05d}.parquet"


@lru_cache(maxsize=4)  # each holds its file in memory, a few megabytes
def _file(storage: Storage, file: int) -> Any:
    return ParquetFile(io.BytesIO(storage.read(_name(file))))
