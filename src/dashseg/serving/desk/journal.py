"""Every edit and mark, in one SQLite file: what it holds is what counts, whatever became of masks.

An edit is in the file before anyone is told that it is saved: a process killed at any instant
loses none (WAL, synchronous=FULL). Nothing is ever deleted.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from dashseg.errors import InputError

APPLICATION = 0x64736467  # "dsdg", in the file's header
VERSION = 1
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE edits (
    id INTEGER PRIMARY KEY,
    frame TEXT NOT NULL,
    version INTEGER NOT NULL,  -- 0: the label as it was drawn
    time TEXT NOT NULL,        -- UTC
    by TEXT NOT NULL,
    pixels INTEGER NOT NULL,   -- that differ from the version before
    digest TEXT NOT NULL,      -- SHA-256 of the mask file
    label BLOB NOT NULL,       -- 8-bit grey PNG of class ids, 255 = ignore
    mask BLOB,                 -- version 0 only: the mask file as it was
    UNIQUE (frame, version)
);
CREATE TABLE marks (
    id INTEGER PRIMARY KEY,
    frame TEXT NOT NULL,
    verdict TEXT,              -- right, wrong, unsure; NULL: taken back
    comment TEXT NOT NULL,
    by TEXT NOT NULL,
    time TEXT NOT NULL
);
CREATE INDEX marks_of_a_frame ON marks (frame, id);
"""


class Edit(NamedTuple):
    """One version of a frame's label, without the label itself."""

    frame: str
    version: int
    time: str
    by: str
    pixels: int
    digest: str


class Drawn(NamedTuple):
    """A label as it was before the first edit: as PNG, and the mask file if there was one."""

    label: bytes
    digest: str
    mask: bytes | None


class Mark(NamedTuple):
    """What somebody thinks of a frame's label."""

    frame: str
    verdict: str | None
    comment: str
    by: str
    time: str


_EDIT, _MARK = ", ".join(Edit._fields), ", ".join(Mark._fields)


class Stale(Exception):
    """Somebody else saved the frame first; `current` is theirs."""

    def __init__(self, current: Edit) -> None:
        by = f", by {current.by}" if current.by else ""
        super().__init__(f"the newest version of this frame is {current.version}{by}")
        self.current = current


class Journal:
    """The journal's file. Threads may share one.

    Args:
        path: made if it does not exist.

    Raises:
        InputError: not a journal, or of a newer dashseg.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            # Autocommit: transactions begin and end where `_transaction` says.
            self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")
            (own,), (version,) = (
                self._file.execute(f"PRAGMA {name}").fetchone()
                for name in ("application_id", "user_version")
            )
            if not own and not self._file.execute("SELECT 1 FROM sqlite_schema").fetchone():
                self._file.executescript(
                    f"BEGIN; {_TABLES} PRAGMA application_id = {APPLICATION};"
                    f" PRAGMA user_version = {VERSION}; COMMIT;"
                )
            elif own != APPLICATION or version != VERSION:
                raise InputError(f"{path}: not a journal that this dashseg writes")
        except sqlite3.Error as error:
            raise InputError(f"{path}: the journal cannot be opened: {error}") from error

    def close(self) -> None:
        """Close the file; all is saved already."""
        with self._lock:
            self._file.close()

    @property
    def facts(self) -> dict[str, str]:
        """What was noted when the journal was made."""
        with self._lock:
            return dict(self._file.execute("SELECT name, value FROM facts"))

    def note(self, facts: dict[str, str]) -> None:
        """Note facts about the data set."""
        with self._transaction() as file:
            file.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())

    def latest(self) -> dict[str, Edit]:
        """The newest version of every frame that was ever edited."""
        rows = self._all(f"SELECT {_EDIT}, MAX(version) FROM edits GROUP BY frame")
        return {row[0]: Edit(*row[:-1]) for row in rows}

    def versions(self, frame: str) -> list[Edit]:
        """A frame's versions from 0 on; [] if it was never edited."""
        query = f"SELECT {_EDIT} FROM edits WHERE frame = ? ORDER BY version"
        return [Edit(*row) for row in self._all(query, frame)]

    def label(self, frame: str, version: int) -> bytes | None:
        """The label of a version as PNG; None: there is no such version."""
        query = "SELECT label FROM edits WHERE frame = ? AND version = ?"
        rows = self._all(query, frame, version)
        return rows[0][0] if rows else None

    def drawn_mask(self, frame: str) -> bytes | None:
        """The mask file as it was before the first edit; None: never edited, or it had none."""
        rows = self._all("SELECT mask FROM edits WHERE frame = ? AND version = 0", frame)
        return rows[0][0] if rows else None

    def save(
        self,
        frame: str,
        base: int,
        by: str,
        label: bytes,
        pixels: int,
        digest: str,
        drawn: Drawn | None = None,
    ) -> Edit:
        """Add the version after `base`; it is on the disk when this returns.

        Args:
            drawn: version 0, which is kept with a frame's first edit.

        Raises:
            Stale: `base` is not the newest version.
        """
        with self._transaction() as file:
            versions = self.versions(frame)
            if not versions and drawn is not None:
                versions = [Edit(frame, 0, now(), "", 0, drawn.digest)]
                file.execute(
                    f"INSERT INTO edits ({_EDIT}, label, mask) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (*versions[0], drawn.label, drawn.mask),
                )
            if versions[-1].version != base:
                raise Stale(versions[-1])
            edit = Edit(frame, base + 1, now(), by, pixels, digest)
            file.execute(
                f"INSERT INTO edits ({_EDIT}, label) VALUES (?, ?, ?, ?, ?, ?, ?)", (*edit, label)
            )
        return edit

    def edits(self) -> list[Edit]:
        """All edits in the order they were made, without the versions 0."""
        return [
            Edit(*row)
            for row in self._all(f"SELECT {_EDIT} FROM edits WHERE version > 0 ORDER BY id")
        ]

    def mark(self, frame: str, verdict: str | None, comment: str, by: str) -> Mark:
        """Add a mark; the last one of a frame counts."""
        mark = Mark(frame, verdict, comment, by, now())
        with self._transaction() as file:
            file.execute(f"INSERT INTO marks ({_MARK}) VALUES (?, ?, ?, ?, ?)", mark)
        return mark

    def marks(self) -> dict[str, Mark]:
        """The last mark of every frame that has one, in the order they were made."""
        rows = self._all(f"SELECT {_MARK}, MAX(id) FROM marks GROUP BY frame ORDER BY MAX(id)")
        return {row[0]: Mark(*row[:-1]) for row in rows}

    def _all(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with self._lock:
            return self._file.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All that the block writes, or nothing."""
        with self._lock:
            self._file.execute("BEGIN IMMEDIATE")
            try:
                yield self._file
                self._file.execute("COMMIT")
            except BaseException:
                if self._file.in_transaction:
                    self._file.execute("ROLLBACK")
                raise


def now() -> str:
    """The time as the journal writes it: UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
