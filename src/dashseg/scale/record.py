"""What DST knows of a run, in its folder _dashseg: settings, model, plan, and what became of it.

    run.json              what the outputs are made of, and by which code
    model/                the model's files, which every machine reads from here
    index.json  plan/     the shards
    begun/NUMBER.json     digests of the files of a shard, written before the files themselves
    done/NUMBER.json      written when all files of a shard are there
    errors/NUMBER.json    the rows of a shard that failed
    tries/NUMBER.json     how often a shard was begun that is not done yet
    tmp/                  files that are being written

Names that start with _ are skipped by Spark, pyarrow and Ray when they read a folder.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
from numpy.typing import NDArray
from pyarrow.parquet import ParquetWriter

from dashseg.errors import InputError
from dashseg.scale.storage import Storage

FOLDER = "_dashseg"
ERRORS = "errors.parquet"
_RUN, _BEGUN, _DONE, _FAILED, _TRIES = "run.json", "begun", "done", "errors", "tries"
_ERRORS_SCHEMA = pyarrow.schema([(name, pyarrow.string()) for name in ("name", "path", "reason")])


@dataclass(frozen=True)
class Settings:
    """What the outputs are made of. A rerun with others is refused."""

    inputs: tuple[str, ...]
    format: str
    model: str  # digest
    tta: tuple[str, ...]
    code: str  # digest of dashseg's source

    def check(self, values: Any, where: str) -> None:
        """Compare with those that `to_json` wrote.

        Raises:
            InputError: they differ.
        """
        said = {"inputs": "inputs", "format": "--format", "model": "model", "tta": "--tta",
                "code": "version of dashseg"}  # fmt: skip
        ours = json.loads(self.to_json())
        for name, word in said.items():
            if not isinstance(values, dict) or values.get(name) != ours[name]:
                raise InputError(
                    f"{where} was made with another {word}: choose another --out, or --overwrite"
                )

    def to_json(self) -> str:
        """As `check` reads it."""
        return json.dumps({"schema": 1, **asdict(self)}, indent=1)


class Tries(NamedTuple):
    """Of a shard that processes died of.

    Args:
        begun: how often it was.
        row: what was at hand, where rows are done one by one; "" otherwise.
        deadly: rows that were at hand when a process died.
    """

    begun: int = 0
    row: str = ""
    deadly: tuple[str, ...] = ()


class Record:
    """What became of the shards of the run in `storage`, which is DST."""

    def __init__(self, storage: Storage) -> None:
        self.folder = Storage(storage.url(FOLDER))

    def settings(self) -> Any:
        """What an earlier call wrote of its settings; None: there was none."""
        if self.folder.size(_RUN) is None:
            return None
        try:
            return json.loads(self.folder.read(_RUN))
        except ValueError as error:
            raise InputError(f"{self.folder.url(_RUN)}: damaged: use --overwrite") from error

    def begin_run(self, settings: Settings) -> None:
        """Write the settings: from now on DST belongs to this run."""
        self.folder.write(_RUN, settings.to_json().encode())

    def all_begun(self) -> list[int]:
        """Numbers of the shards that may have written files."""
        return [int(Path(name).stem) for name in self.folder.names(_BEGUN)]

    def forget(self) -> None:
        """Delete the record; the settings go last, which say that there is one."""
        for name in self.folder.names():
            if name != _RUN:
                self.folder.delete(name)
        self.folder.delete(_RUN)

    def begun(self, shard: int) -> dict[str, list[str]]:
        """Digests of the files that earlier attempts at a shard may have written."""
        name = f"{_BEGUN}/{shard:08d}.json"
        return {} if self.folder.size(name) is None else json.loads(self.folder.read(name))

    def begin(self, shard: int, digests: dict[str, list[str]]) -> None:
        """Note the files of a shard before the first of them is written."""
        self.folder.write(f"{_BEGUN}/{shard:08d}.json", json.dumps(digests).encode())

    def tries(self, shard: int) -> Tries:
        """How often a shard was begun since it was last done."""
        name = f"{_TRIES}/{shard:08d}.json"
        if self.folder.size(name) is None:
            return Tries()
        values = json.loads(self.folder.read(name))
        return Tries(values["begun"], values["row"], tuple(values["deadly"]))

    def note_try(self, shard: int, tries: Tries) -> None:
        """Write what `tries` reads."""
        self.folder.write(f"{_TRIES}/{shard:08d}.json", json.dumps(tries._asdict()).encode())

    def is_done(self, shard: int) -> bool:
        """Whether all files of a shard are there, whatever rows of it failed."""
        return self.folder.size(f"{_DONE}/{shard:08d}.json") is not None

    def failed(self, shard: int) -> list[dict[str, str]]:
        """The rows of a shard that failed: name, path and reason of each."""
        name = f"{_FAILED}/{shard:08d}.json"
        return [] if self.folder.size(name) is None else json.loads(self.folder.read(name))

    def finish(self, shard: int, errors: list[dict[str, str]]) -> None:
        """Note that a shard is done."""
        name = f"{_FAILED}/{shard:08d}.json"
        if errors:
            self.folder.write(name, json.dumps(errors).encode())
        self.folder.write(f"{_DONE}/{shard:08d}.json", b"{}\n")
        if not errors:
            self.folder.delete(name)
        self.folder.delete(f"{_TRIES}/{shard:08d}.json")

    def shards(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of the shards that are done, and of those with rows that failed."""
        done, failed = (
            np.array([int(Path(name).stem) for name in self.folder.names(folder)], np.int64)
            for folder in (_DONE, _FAILED)
        )
        return done, failed

    def write_errors(self, storage: Storage) -> None:
        """Write errors.parquet, with a line for each row that failed; delete it if there is none.

        Raises:
            InputError: it cannot be written.
        """
        _, failed = self.shards()
        if not len(failed):
            storage.delete(ERRORS)
            return
        buffer = io.BytesIO()
        with ParquetWriter(buffer, _ERRORS_SCHEMA) as writer:
            for shard in failed:
                table = pyarrow.Table.from_pylist(self.failed(int(shard)), _ERRORS_SCHEMA)
                writer.write_table(table)
        storage.write(ERRORS, buffer.getvalue())


@lru_cache(maxsize=1)
def code_digest() -> str:
    """A digest of dashseg's own source files."""
    import dashseg

    root = Path(dashseg.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def require_same_code(digest: str) -> None:
    """Raise InputError unless this machine's dashseg is the driver's."""
    if code_digest() != digest:
        raise InputError(
            f"{platform.node()} has another version of dashseg than the driver: install the same"
        )
