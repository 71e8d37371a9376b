"""Writing files so that an interrupted program leaves no partial ones; `outputs` has folders."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PureWindowsPath
from typing import Any

from dashseg.errors import InputError

MARK = ".dashseg-"  # in the names of temporary folders
MAX_TEXT = 64 << 20  # bytes: a split file of a million names

_DEEPEST = 100  # folders in each other; trees that are made to harm have thousands
_REPEATS = 1000  # links to a folder that was listed already; ten levels of two links make 1,000
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # the file system has no locks


def join_inside(root: Path, name: str) -> Path:
    """`root / name`, for a name that came out of a file, an archive or a repository.

    Raises:
        InputError: the name leads out of `root` (an absolute path, a drive letter, `..`, a symbolic
            link to somewhere else), is empty or contains NUL. Windows paths are refused on every
            system.
    """
    windows = PureWindowsPath(name)  # takes / and \ for separators
    leads_out = windows.drive or windows.root or ".." in windows.parts
    if "\0" in name or leads_out or not windows.parts:
        raise InputError(f"{root}: {name!r} is not a path inside this folder")
    path = root / name
    below = (path, *path.parents)[: len(path.parts) - len(root.parts)]
    links = any(map(os.path.islink, below))
    if links and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise InputError(f"{path}: a symbolic link leads out of {root}")
    return path


def natural_key(name: str) -> tuple[str, str]:
    """Sorts names by the numbers in them, frame2 before frame10; a key for `sorted`."""
    return re.sub("[0-9]+", _number_key, name), name


def _number_key(match: re.Match[str]) -> str:
    digits = match[0].lstrip("0")
    return f"{len(digits):04}{digits}"  # 4: paths are shorter than 10,000 characters


def printable(name: str | Path) -> str:
    """A name as text. Linux allows bytes in it that are not UTF-8: they become `\\xe9`."""
    return os.fsencode(name).decode(errors="backslashreplace")


def files_below(folder: Path, unreadable: list[str] | None = None) -> list[Path]:
    """Every file in a folder and its sub-folders, sorted; none is opened. [] if there is no folder.

    Links are followed, but not back to a folder that they are in. What is no regular file (a broken
    link, a pipe) is listed too: whoever reads it reports it.

    Args:
        unreadable: gets a line for each folder that cannot be listed; None: that is an error.

    Raises:
        InputError: a folder cannot be listed, folders are nested too deep, or links lead to the
            same folders again and again.
    """
    if not folder.is_dir():
        return []
    found: list[Path] = []
    listed: set[tuple[int, int]] = set()  # device and inode
    waiting: list[tuple[Path, tuple[tuple[int, int], ...]]] = [(folder, ())]
    repeats = 0
    while waiting:
        inside, above = waiting.pop()
        if len(above) > _DEEPEST:
            raise InputError(f"{folder}: more than {_DEEPEST} folders in each other")
        try:
            status = inside.stat()
            this = status.st_dev, status.st_ino
            if this in above:
                continue
            repeats += this in listed
            if repeats > _REPEATS:
                raise InputError(f"{folder}: its links lead to the same folders again and again")
            listed.add(this)
            with os.scandir(inside) as entries:
                for entry in entries:
                    path = inside / entry.name
                    if _is_folder(entry):
                        waiting.append((path, (*above, this)))
                    else:
                        found.append(path)
        except OSError as error:
            if unreadable is None:
                raise InputError(f"{inside}: cannot be listed: {error.strerror}") from error
            unreadable.append(f"{inside}: cannot be listed: {error.strerror}")
    return sorted(found)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place when the block succeeds.

    Raises:
        InputError: the folder is read-only or missing, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing_to(path):
            yield temporary
            temporary.replace(path)
    finally:
        with suppress(OSError):  # moved, or on a read-only disk
            temporary.unlink()


def require_new(path: Path) -> None:
    """Raise InputError if something is at `path` already, be it a broken link."""
    if os.path.lexists(path):
        raise InputError(f"{path} exists: choose a new name")


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Translate an OSError of the block to an InputError that names `path`.

    An error that concerns a file elsewhere, such as a frame that was deleted, names that file.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        if isinstance(error.filename, str) and _lies_elsewhere(error.filename, path):
            raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error
        raise InputError(
            f"cannot write {path}: {error.strerror}. Free space or choose another output folder"
        ) from error


def _lies_elsewhere(name: str, path: Path) -> bool:
    """Whether `name` is neither `path`, nor above, below or a temporary file of dashseg."""
    found, target = Path(os.path.abspath(name)), Path(os.path.abspath(path))
    beside = os.path.join(target.parent, f".{target.name}.")
    related = found.is_relative_to(target) or target.is_relative_to(found)
    return not related and not str(found).startswith(beside) and MARK not in name


@contextmanager
def lock(path: Path, taken: str, patience: float = 0.0) -> Iterator[int]:
    """Hold a lock file during the block, then delete it. The lock of a killed process is released.

    On a system or file system without locks, nothing prevents a second process.

    Args:
        taken: the error's message if another process holds the lock.
        patience: seconds to wait for another process.

    Yields:
        The file descriptor. A child process that inherits it holds the lock too.

    Raises:
        InputError: another process holds the lock, or the file cannot be written.
    """
    give_up = time.monotonic() + patience
    make_folder(path.parent)
    while (handle := try_lock(path)) is None:
        if time.monotonic() >= give_up:
            raise InputError(taken)
        time.sleep(0.1)
    try:
        yield handle
    finally:
        with suppress(OSError):  # deleted already, or the system does not delete open files
            path.unlink()
        os.close(handle)


def try_lock(path: Path) -> int | None:
    """Create and lock a file: its descriptor, or None if another process holds it."""
    with writing_to(path):
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        try:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except ImportError:  # Windows
            return handle
        except (BlockingIOError, FileNotFoundError):  # another process holds it, or just deleted it
            pass
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return handle
            os.close(handle)
            raise
        os.close(handle)
        return None


def make_folder(path: Path) -> Path:
    """Create `path` and its parents if they do not exist; return `path`.

    Raises:
        InputError: it cannot be created, or is a file.
    """
    with writing_to(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, completely or not at all.

    Raises:
        InputError: as `replace_file`.
    """
    with replace_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON, completely or not at all.

    Raises:
        InputError: as `replace_file`.
        ValueError: NaN or infinity, which JSON does not have.
    """
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def sha256(path: Path) -> str:
    """A file's digest in hexadecimal, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path, limit: int = MAX_TEXT) -> str:
    """The text of a UTF-8 file of at most `limit` bytes.

    Raises:
        InputError: as `read_bytes`, or not UTF-8.
    """
    try:
        return read_bytes(path, limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text") from error


def read_bytes(path: Path, limit: int, first: int = -1) -> bytes:
    """The bytes of a regular file, or only the `first` ones.

    Pipes, sockets and devices are never opened: reading one may wait for ever.

    Raises:
        InputError: missing, unreadable, not a regular file, or more than `limit` bytes.
    """
    try:
        size = check_file(path)
        if size > limit:
            raise InputError(f"{path}: {size} bytes; at most {limit} are read")
        with path.open("rb", buffering=0) as file:
            return file.read(first)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read: {reason}") from error


def check_file(path: Path) -> int:
    """The bytes of a file; InputError for a pipe, socket or device, OSError if there is none."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: a pipe, socket or device, not a file")
    return status.st_size


def read_json(path: Path, limit: int = MAX_TEXT) -> Any:
    """Read JSON of at most `limit` bytes.

    Raises:
        InputError: as `read_text`, or not JSON.
    """
    return parse_json(read_text(path, limit), str(path))


def parse_json(text: str, source: str) -> Any:
    """The value of a JSON text; `source` names it in errors.

    Raises:
        InputError: not JSON, nested too deeply, or a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: not valid JSON ({error})") from error
