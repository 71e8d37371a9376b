"""The journal's file, read by SQLite alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from dashseg.errors import InputError
from dashseg.serving.desk.journal import Drawn, Journal, Stale

DRAWN = Drawn(b"drawn", "d0", b"mask")


def test_what_is_saved_is_in_the_file_at_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.save("a", 0, "Ann", b"one", 5, "d1", DRAWN)
    journal.save("a", 1, "Bob", b"two", 6, "d2")
    journal.mark("b", "wrong", "why", "Bob")
    with sqlite3.connect(tmp_path / "journal") as other:  # while the journal is open
        rows = other.execute("SELECT frame, version, by, pixels, label, mask FROM edits")
        assert rows.fetchall() == [
            ("a", 0, "", 0, b"drawn", b"mask"),
            ("a", 1, "Ann", 5, b"one", None),
            ("a", 2, "Bob", 6, b"two", None),
        ]
        marks = other.execute("SELECT frame, verdict, comment, by FROM marks").fetchall()
        assert marks == [("b", "wrong", "why", "Bob")]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    (full,) = journal._file.execute("PRAGMA synchronous").fetchone()
    assert full == 2


def test_a_stale_save_leaves_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    with pytest.raises(Stale, match="is 0"):
        journal.save("a", 1, "Ann", b"one", 5, "d1", DRAWN)
    assert journal.versions("a") == []
    first = journal.save("a", 0, "Ann", b"one", 5, "d1", DRAWN)
    with pytest.raises(Stale, match="is 1, by Ann"):
        journal.save("a", 0, "Bob", b"other", 5, "d1", DRAWN)
    assert journal.latest() == {"a": first}
    assert (journal.label("a", 0), journal.label("a", 1), journal.label("a", 2)) == (
        b"drawn", b"one", None,
    )  # fmt: skip


def test_the_last_mark_of_a_frame_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    for verdict in ("wrong", None, "right"):
        journal.mark("a", verdict, "", "Ann")
    journal.mark("b", "unsure", "", "Ann")
    journal.mark("a", "unsure", "hm", "Bob")
    assert [*journal.marks()] == ["b", "a"]
    assert journal.marks()["a"][:4] == ("a", "unsure", "hm", "Bob")


def test_other_files_are_refused_and_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database" * 100)
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("CREATE TABLE mine (x)")
    Journal(tmp_path / "newer").close()
    with sqlite3.connect(tmp_path / "newer") as newer:
        newer.execute("PRAGMA user_version = 2")
    for name in ("text", "other", "newer"):
        path = tmp_path / name
        with pytest.raises(InputError, match=name):
            Journal(path)
    assert (tmp_path / "text").read_text() == "no database" * 100
    with sqlite3.connect(tmp_path / "other") as other:
        assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("mine",)]
