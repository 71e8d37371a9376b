"""What dashseg did not write stays, whoever wrote it and whenever; what it writes is whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from dashseg.errors import InputError
from dashseg.outputs import RECORD, Record, entries, replace_folder, require_empty

Replace = Callable[[Path], AbstractContextManager[Path]]

KILLED = """
import os, signal, sys
from pathlib import Path
from dashseg.outputs import Record, replace_folder

root, way = Path(sys.argv[1]), sys.argv[2]
made = root / "made"
block = replace_folder(made) if way == "new" else Record(made, "test").replacing("")
with block as folder:
    (folder / "half").write_bytes(bytes(1000))
    print("ready", flush=True)
    signal.pause()
"""


def replace_own(path: Path) -> AbstractContextManager[Path]:
    return Record(path, "test").replacing(last="b")


def tree(folder: Path) -> dict[str, str]:
    """Every file but the record: its path and its text."""
    files = (path for path in folder.rglob("*") if not path.is_dir())
    found = {p.relative_to(folder).as_posix(): p.read_text() for p in files}
    return {name: text for name, text in found.items() if Path(name).name != RECORD}


def write(folder: Path, **files: str) -> None:
    """Write files; `__` in a name stands for `/`."""
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(params=[replace_folder, replace_own])
def replace(request: Any) -> Replace:
    way: Replace = request.param
    return way


@pytest.fixture(params=[False, True])
def out(request: Any, tmp_path: Path) -> Iterator[Path]:
    """A folder that is not there, and an empty one."""
    path = tmp_path / "out"
    if request.param:
        path.mkdir()
    yield path
    assert entries(tmp_path) <= {"out"}
    assert not list(tmp_path.glob(".*")), "a temporary folder is left"
    assert not list(path.glob(".*.dashseg-*")), "a temporary folder is left"


def test_files_and_folders_appear_together(replace: Replace, out: Path) -> None:
    with replace(out) as folder:
        write(folder, a="1", b="2", deep__c="3")
        (folder / "empty").mkdir()
        assert tree(out) == {} or not (out / "a").exists()
    assert tree(out) == {"a": "1", "b": "2", "deep/c": "3"}
    assert (out / "empty").is_dir()


def test_a_folder_is_made_with_its_parents(replace: Replace, tmp_path: Path) -> None:
    with replace(tmp_path / "runs" / "a" / "model") as folder:
        write(folder, part="1")
    assert tree(tmp_path) == {"runs/a/model/part": "1"}


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_a_stopped_block_leaves_nothing(
    replace: Replace, out: Path, stop: type[BaseException]
) -> None:
    with pytest.raises(stop), replace(out) as folder:
        write(folder, a="half")
        raise stop
    assert tree(out) == {}


@pytest.mark.parametrize("name", ["a", "mine.txt", "deep"])
def test_what_somebody_puts_there_meanwhile_stays_and_is_an_error(
    replace: Replace, out: Path, name: str
) -> None:
    """If the folder is a person's own, only files of the same names are in the way."""
    mixed = replace is replace_own and out.is_dir() and name == "mine.txt"
    try:
        with replace(out) as folder:
            write(folder, a="1", deep__b="2", z="3")
            write(out, **{name: "mine"})
    except InputError as error:
        assert "was made by another program" in str(error) and not mixed
        assert tree(out) == {name: "mine"}
    else:
        assert mixed and tree(out) == {"mine.txt": "mine", "a": "1", "deep/b": "2", "z": "3"}


def test_of_two_calls_at_once_into_one_name_the_later_fails(replace: Replace, out: Path) -> None:
    with pytest.raises(InputError, match="was made by another program"), replace(out) as later:
        write(later, a="later", z="later")
        with replace(out) as first:
            write(first, a="first")
    assert tree(out) == {"a": "first"}


def test_a_file_in_the_place_of_the_folder_stays(replace: Replace, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError) as error, replace(tmp_path / "out") as folder:
        write(folder, a="1")
    assert str(tmp_path / "out") in str(error.value)
    assert tree(tmp_path) == {"out": "mine"}


def test_a_folder_with_anything_in_it_is_not_empty(tmp_path: Path) -> None:
    require_empty(tmp_path / "missing")
    write(tmp_path, **{".DS_Store": "of macOS"})
    (tmp_path / "lost+found").mkdir()  # in the root of a disk
    require_empty(tmp_path)
    (tmp_path / "link").symlink_to("nowhere")
    for taken in (tmp_path, tmp_path / "link", tmp_path / ".DS_Store"):
        with pytest.raises(InputError, match=f"{taken} exists: choose a new name"):
            require_empty(taken)


def test_only_what_the_verb_wrote_is_replaced_or_deleted(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with replace_own(out) as folder:
        write(folder, a="old", stale="old", deep__stale="old", deeper__stale="old")
    with Record(out, "other").replacing(last="") as folder:
        write(folder, others="2")
    write(out, mine="mine", deep__mine="mine")
    for text in ("new", "newer"):
        with replace_own(out) as folder:
            write(folder, a=text)
        kept = {"others": "2", "mine": "mine", "deep/mine": "mine"}
        assert tree(out) == {"a": text, **kept}
        assert not (out / "deeper").exists()
    assert Record(out, "test").earlier() == ["a"]
    assert Record(out, "other").earlier() == ["others"]


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_a_move_that_fails_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    """At every one of its steps."""
    out = tmp_path / "out"
    with replace_own(out) as folder:
        write(folder, a="old", b="old", c="old")
    link, steps = os.link, 6
    for at in range(steps):
        calls = iter(range(steps))

        def failing(*paths: Any, calls: Iterator[int] = calls, at: int = at) -> None:
            if next(calls) == at:
                raise stop
            link(*paths)

        monkeypatch.setattr(os, "link", failing)
        with pytest.raises(stop), replace_own(out) as folder:
            write(folder, a="new", b="new", c="new")
        assert tree(out) == {"a": "old", "b": "old", "c": "old"}
        assert Record(out, "test").earlier() == ["a", "b", "c"]
    monkeypatch.undo()
    with replace_own(out) as folder:
        write(folder, a="new")
    assert tree(out) == {"a": "new"}


def test_without_hard_links_files_are_moved_and_never_replaced(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*paths: Any) -> None:
        raise PermissionError(1, "Operation not permitted")  # as vfat answers

    monkeypatch.setattr(os, "link", no_links)
    with replace_own(out) as folder:
        write(folder, a="1", deep__b="2")
    with pytest.raises(InputError, match="was made by another program"), replace_own(out) as folder:
        write(folder, a="3", c="4")
        write(out, c="mine")
    assert tree(out) == {"a": "1", "deep/b": "2", "c": "mine"}


@pytest.mark.parametrize(
    "name", ["../victim", "/etc/hosts", "link/victim", "a\0b", "..\\victim", "folder", 5, None, []]
)
def test_a_record_from_a_stranger_reaches_no_other_file(tmp_path: Path, name: Any) -> None:
    out, victim = tmp_path / "out", tmp_path / "victim"
    victim.write_text("precious")
    (out / "folder").mkdir(parents=True)
    (out / "link").symlink_to(tmp_path)
    digest = "ff149b4f5c21b5d6ba0e5a1a1a1a6a1d34ebba5f3ec3e2fba36f1e2e6c4a7a55"
    lines = [{"verb": "test", "file": name, "sha256": digest}, "text", 5, [], {"file": name}]
    (out / RECORD).write_text("\n".join(map(json.dumps, lines)) + "\n{cut of")
    try:
        with replace_own(out) as folder:
            write(folder, a="1")
    except InputError as error:
        assert "\n" not in str(error)
    assert victim.read_text() == "precious" and (out / "folder").is_dir()


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "binary"])
def test_a_record_that_is_none_proves_nothing(tmp_path: Path, kind: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    out = tmp_path / "out"
    write(out, a="mine")
    if kind == "link":
        (out / RECORD).symlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(out / RECORD)
    elif kind == "folder":
        (out / RECORD).mkdir()
    else:
        (out / RECORD).write_bytes(bytes(range(256)))
    record = Record(out, "test")
    assert record.state("a") == "foreign" and record.earlier() == []
    with pytest.raises(InputError), record.open(), record.file("a") as path:
        path.write_text("1")
    assert victim.read_text() == "precious" and (out / "a").read_text() == "mine"


def test_several_threads_write_files_of_one_record(tmp_path: Path) -> None:
    """Their names differ only by the folder, and each is whole before any is in its place."""
    names = [f"{number}/same.txt" for number in range(16)]
    together = threading.Barrier(len(names), timeout=20)

    def write_one(name: str) -> None:
        with record.file(name, f"of {name}") as path:
            path.write_text(name)
            together.wait()

    with (record := Record(tmp_path, "test")).open(), ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(write_one, names))
    assert [(tmp_path / name).read_text() for name in names] == names
    lines = [json.loads(line) for line in (tmp_path / RECORD).read_text().splitlines()]
    assert lines[0]["tool"] == "dashseg"
    assert sorted(line["file"] for line in lines[1:]) == sorted(names)
    assert {Record(tmp_path, "test").state(name, f"of {name}") for name in names} == {"whole"}


def test_a_record_tells_what_each_file_is_made_of(tmp_path: Path) -> None:
    with (record := Record(tmp_path, "test")).open():
        for of in ("old frame", "frame"):
            with record.file("deep/a", of) as path:
                path.write_text(of)
    for known in (record, Record(tmp_path, "test")):
        assert known.state("deep/a", "frame") == "whole"
        assert known.state("deep/a", "another") == "earlier"
        assert known.state("b") == "free"
    assert Record(tmp_path, "another").state("deep/a", "frame") == "foreign"
    (tmp_path / "deep" / "a").write_text(
        "old frame"
    )  # a killed process wrote the line, not the file
    assert Record(tmp_path, "test").state("deep/a", "old frame") == "whole"
    (tmp_path / "deep" / "a").write_text("mended")
    assert Record(tmp_path, "test").state("deep/a", "frame") == "foreign"
    header, *lines = map(json.loads, (tmp_path / RECORD).read_text().splitlines())
    assert header["tool"] == "dashseg"
    assert {(line["verb"], line["file"]) for line in lines} == {("test", "deep/a")}


def test_a_copied_folder_is_still_known(tmp_path: Path) -> None:
    with replace_own(tmp_path / "out") as folder:
        write(folder, a="1")
    subprocess.run(["cp", "-r", tmp_path / "out", tmp_path / "copy"], check=True)
    with replace_own(tmp_path / "copy") as folder:
        write(folder, a="2")
    assert tree(tmp_path) == {"out/a": "1", "copy/a": "2"}


@pytest.mark.parametrize("way", ["new", "own"])
def test_what_a_killed_process_left_is_cleared_and_a_living_ones_is_not(
    tmp_path: Path, way: str
) -> None:
    def start() -> subprocess.Popen[str]:
        arguments = [sys.executable, "-c", KILLED, str(tmp_path), way]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    def left() -> int:
        return len(list(tmp_path.glob(".*.dashseg-*.tmp")))

    with start() as dead, start() as living:
        dead.kill()
        dead.wait()
        before = left()
        with replace_folder(tmp_path / "other") as folder:
            write(folder, a="1")
        living.kill()
        assert (before, left()) == (2, 1)
    with replace_folder(tmp_path / "another") as folder:
        write(folder, a="1")
    assert left() == 0


MOUNTED = """
import os, subprocess, sys
from pathlib import Path
from dashseg.errors import InputError
from dashseg.outputs import Record, replace_folder

disk = Path(sys.argv[1])
if sys.argv[2] == "in a read-only folder":
    (disk / "out").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk / "out"], check=True)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    disk = disk / "out"
(disk / "lost+found").mkdir()
for block in (replace_folder(disk), *(Record(disk, "test").replacing("a") for _ in range(2))):
    try:
        with block as folder:
            (folder / "deep").mkdir()
            (folder / "a").write_text("1")
            (folder / "deep" / "b").write_text("2")
        print("written")
    except InputError as error:
        print(error)
    for path in sorted(disk.glob("[!.]*")):
        print(path.relative_to(disk))
"""


@pytest.mark.parametrize("where", ["", "in a read-only folder"])
def test_a_mount_point_is_filled(in_small_disk: Any, where: str) -> None:
    done = in_small_disk(MOUNTED, where)
    first, *rest = done.stdout.split("written\n", 1)[-1].splitlines()
    assert done.stdout.startswith("written\n"), done.stderr
    assert [first, *rest[:2]] == ["a", "deep", "lost+found"]
    assert "b was made by another program" in rest[2]  # `replace_folder` leaves no record
