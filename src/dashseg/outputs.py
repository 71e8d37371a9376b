"""Results go to a temporary folder first, then to their place. What dashseg did not write stays.

A folder that several calls may write to has a record, `.dashseg.jsonl`: the verb that wrote each
file, and the file's digest. Only files that are as the record says are ever replaced or deleted.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal

from dashseg.errors import InputError
from dashseg.files import MARK, join_inside, make_folder, sha256, try_lock, write_text, writing_to

RECORD = ".dashseg.jsonl"
_SUFFIX = ".tmp"  # of temporary folders
# macOS leaves the first wherever somebody looked; the second is in the root of a disk.
_SYSTEMS = {".DS_Store", "lost+found"}
_HEADER = {"tool": "dashseg", "about": "files that dashseg wrote here, and may replace"}


def entries(folder: Path) -> set[str]:
    """Names in a folder, if it is there, without the system's and dashseg's hidden ones."""
    if not folder.is_dir():
        return set()
    with writing_to(folder):
        names = set(os.listdir(folder)) - _SYSTEMS - {RECORD}
    return {name for name in names if not (name[0] == "." and MARK in name)}


def require_empty(path: Path) -> None:
    """Raise InputError unless `path` is an empty folder, or nothing is there."""
    if entries(path) or (os.path.lexists(path) and not path.is_dir()):
        raise InputError(f"{path} exists: choose a new name, or an empty folder")


@contextmanager
def replace_folder(
    path: Path, earlier: Collection[str] | None = None, last: str = ""
) -> Iterator[Path]:
    """Yield an empty temporary folder; its files go to `path` when the block succeeds.

    They go there all or none. A folder that exists stays (it may be a disk's, and its parent
    read-only); files that another program put there meanwhile stay too, and are an error.

    Args:
        earlier: files below `path` to replace or delete; all others stay. None: `path` must be
            empty.
        last: the file to move last, which shows that the others are there.

    Raises:
        InputError: `path` is a file, is not empty with `earlier` None, has other files where new
            ones should go, or cannot be written.
    """
    path = path.resolve()  # a link to a folder stays one
    if earlier is None:
        require_empty(path)
    there = path.is_dir()
    with writing_to(path), temporary_folder(path if there else path.parent, path) as temporary:
        made = temporary / "new"
        made.mkdir()
        yield made
        move_into_place(made, path, earlier, last)


@contextmanager
def temporary_folder(parent: Path, wanted: Path) -> Iterator[Path]:
    """Yield an empty hidden folder in `parent`, deleted afterwards.

    Those of killed processes are deleted first: the system has released their locks.

    Raises:
        InputError: `wanted`, which needs it, cannot be written.
    """
    make_folder(parent)
    for leftover in parent.glob(f".*{MARK}*{_SUFFIX}"):
        if _is_abandoned(leftover / "lock"):
            shutil.rmtree(leftover, ignore_errors=True)
    with ExitStack() as stack:
        with writing_to(wanted):
            prefix = f".{wanted.name[:50]}{MARK}"  # names have 255 bytes at most
            folder = Path(tempfile.mkdtemp(_SUFFIX, prefix, parent))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            handle = try_lock(folder / "locking")
        if handle is not None:
            stack.callback(os.close, handle)
            with suppress(OSError):  # Windows renames no open file, and has no such locks
                (folder / "locking").rename(folder / "lock")  # nobody sees it before it is locked
        yield folder


def _is_abandoned(lock: Path) -> bool:
    """Whether nobody holds it any more; False where the system cannot say."""
    try:
        import fcntl

        with lock.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def move_into_place(
    made: Path, path: Path, earlier: Collection[str] | None = None, last: str = ""
) -> None:
    """Move the files of a finished folder to `path`, as `replace_folder` does.

    Args:
        made: a folder in `path`, or beside it where `path` did not exist.
    """
    if not made.is_relative_to(path):
        try:
            if os.name == "nt" and path.is_dir():  # other systems rename to an empty folder
                path.rmdir()
            made.rename(path)  # fails where a folder has anything in it
        except OSError as error:
            raise (_taken(path) if os.path.lexists(path) else error) from error
        return
    if earlier is None and entries(path):
        raise _taken(path)
    old = made.with_name("old")
    found = sorted(p.relative_to(made).as_posix() for p in made.rglob("*") if not p.is_dir())
    steps = [(path / name, old / name) for name in sorted(earlier or (), key=last.__ne__)]
    steps += [(made / name, path / name) for name in sorted(found, key=last.__eq__)]
    moved: list[tuple[Path, Path]] = []
    try:
        for folder in (p for p in made.rglob("*") if p.is_dir()):
            (path / folder.relative_to(made)).mkdir(parents=True, exist_ok=True)
        for source, target in steps:
            target.parent.mkdir(parents=True, exist_ok=True)
            _move_new(source, target)
            moved.append((source, target))
    except BaseException as error:
        for source, target in reversed(moved):
            target.replace(source)
        if isinstance(error, FileExistsError):
            raise _taken(Path(error.filename2 or error.filename)) from error
        raise
    for name in earlier or ():
        with suppress(OSError):  # not empty
            (path / name).parent.rmdir()


def _move_new(source: Path, target: Path) -> None:
    """Rename a file, unless there is one of the new name: then FileExistsError."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "File exists", str(target)) from None
        source.rename(target)
    else:
        source.unlink()


def _taken(path: Path) -> InputError:
    return InputError(
        f"{path} was made by another program: it was left as it is, and nothing was written;"
        " choose a new name"
    )


class Record:
    """The files that a verb wrote to a folder which may hold others too.

    The line of a file is written before the file: what a killed process wrote is in the record.
    """

    def __init__(self, root: Path, verb: str) -> None:
        self.root = root.resolve()
        self.verb = verb
        self._path = self.root / RECORD
        self._lines: dict[str, list[dict[str, Any]]] = {}
        self._others: list[dict[str, Any]] = []
        self._temporary: Path | None = None
        self._numbers = count()  # of temporary files
        self._writing = threading.Lock()  # the record; files are written in several threads
        with writing_to(self._path):
            texts = self._path.read_bytes().splitlines() if self._path.is_file() else []
        for text in texts:
            with suppress(
                ValueError, TypeError, KeyError, RecursionError
            ):  # a full disk cut it off
                line = json.loads(text)
                mine = line["verb"] == verb
                (self._lines.setdefault(str(line["file"]), []) if mine else self._others).append(
                    line
                )

    def state(self, name: str, of: str = "") -> Literal["free", "whole", "earlier", "foreign"]:
        """What is at `name`: nothing; what the verb made `of` the same; of other things; a file
        that it did not write, or that was changed since."""
        if not os.path.lexists(self.root / name):
            return "free"
        known = self._lines.get(name, [])
        with suppress(OSError, InputError):
            path = join_inside(self.root, name) if known else self.root
            if path.is_file() and not path.is_symlink():
                digest = sha256(path)
                same = [line.get("of") for line in known if line.get("sha256") == digest]
                if same:
                    return "whole" if of in same else "earlier"
        return "foreign"

    def accept(
        self, targets: Mapping[str, str], inputs: Iterable[Path], overwrite: bool
    ) -> set[str]:
        """Check that files may be written.

        Args:
            targets: name -> what the file will be made of.
            inputs: files that are never replaced.
            overwrite: replace every file that the verb wrote, also those made of other things.

        Returns:
            The names that need not be written: the verb made them of the same. None to overwrite.

        Raises:
            InputError: one is an input, was not written by the verb, or was changed since.
        """
        states = {name: self.state(name, of) for name, of in targets.items()}
        there = [name for name, state in states.items() if state != "free"]
        own = {identity(path) for path in inputs} if there else set()
        for name in there:
            if identity(self.root / name) in own:
                raise InputError(f"{self.root / name} is an input: choose another folder")
        foreign = [name for name in there if states[name] == "foreign"]
        if foreign and overwrite:
            raise InputError(
                f"{self.root / foreign[0]} was not written by dashseg {self.verb}, or was changed"
                " since: choose another folder"
            )
        taken = [name for name in there if states[name] != "whole"]
        if taken and not overwrite:
            more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
            raise InputError(
                f"{self.root / taken[0]} exists{more}: choose another --out, or --overwrite"
            )
        return set() if overwrite else set(there)

    def earlier(self) -> list[str]:
        """The verb's files that are there.

        Raises:
            InputError: one of them was changed since.
        """
        states = {name: self.state(name) for name in self._lines}
        for name, state in states.items():
            if state == "foreign":
                raise InputError(
                    f"{self.root / name} was changed since dashseg wrote it: move it, or name"
                    " another folder"
                )
        return [name for name, state in states.items() if state != "free"]

    @contextmanager
    def replacing(self, last: str) -> Iterator[Path]:
        """`replace_folder` for all of the verb's files in this folder.

        Raises:
            InputError: as `replace_folder`, or a file was changed since it was written.
        """
        there = self.root.is_dir()
        with replace_folder(self.root, self.earlier(), last) as folder:
            yield folder
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            lines = [self._line(p.relative_to(folder).as_posix(), p, "") for p in files]
            self._append(lines, self._path if there else folder / RECORD)
        if there:  # without the lines of the files that are gone
            write_text(self._path, _text([_HEADER, *self._others, *lines]))

    @contextmanager
    def open(self) -> Iterator[None]:
        """Make the folder; during the block, `file` writes to it."""
        make_folder(self.root)
        with temporary_folder(self.root, self.root) as self._temporary:
            yield

    @contextmanager
    def file(self, name: str, of: str | Callable[[], str] = "") -> Iterator[Path]:
        """Yield a temporary path; the file goes to `name` when the block succeeds.

        Several threads may write files of different names at once.

        Args:
            of: what identifies all that the file is made of; a function is called at the end.

        Raises:
            InputError: there is a file that is `foreign`; it cannot be written.
        """
        assert self._temporary is not None
        path = self.root / name
        with writing_to(path):
            temporary = self._temporary / f"{next(self._numbers)}{path.suffix}"
            yield temporary
            path.parent.mkdir(parents=True, exist_ok=True)
            ours = self.state(name) in ("whole", "earlier")
            line = self._line(name, temporary, of if isinstance(of, str) else of())
            with self._writing:
                self._append([line], self._path)
                self._lines.setdefault(name, []).append(line)
            if ours:
                temporary.replace(path)
                return
            try:
                _move_new(temporary, path)
            except FileExistsError as error:
                raise _taken(path) from error

    def _line(self, name: str, path: Path, of: str) -> dict[str, Any]:
        return {"verb": self.verb, "file": name, "sha256": sha256(path), "of": of}

    def _append(self, lines: list[dict[str, Any]], path: Path) -> None:
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no link, no pipe
        with writing_to(path), os.fdopen(os.open(path, flags, 0o666), "ab") as file:
            new = os.fstat(file.fileno()).st_size == 0
            # The line break comes first: a full disk may have cut off the last line.
            file.write((_text([_HEADER, *lines]) if new else "\n" + _text(lines)).encode())


def identity(path: Path) -> tuple[int, int] | None:
    """What two names of one file share: its device and inode; None if there is no file."""
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


def _text(lines: list[dict[str, Any]]) -> str:
    return "\n".join(map(json.dumps, lines))
