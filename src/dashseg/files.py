"""Writing files and folders so that an interrupted program leaves no partial ones."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PureWindowsPath
from typing import Any

from dashseg.errors import InputError

MAX_TEXT = 64 << 20  # bytes: a split file of a million names

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


@contextmanager
def replace_folder(path: Path, keep_old: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; move it to `path` when the block succeeds.

    A folder at `path` is replaced as a whole, and deleted only after the move.

    Args:
        keep_old: replace only an empty folder, even if `path` was filled while the block ran.

    Raises:
        InputError: the parent is not writable, or `keep_old` and `path` is not empty.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    old = temporary.with_suffix(".old")
    try:
        with writing_to(path):
            # A killed process may have left one: in a container, process numbers repeat.
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            if keep_old:
                with suppress(OSError):
                    path.rmdir()
            elif path.is_dir():
                path.replace(old)
            temporary.replace(path)
    finally:
        if old.exists() and not path.exists():
            old.replace(path)
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)


def require_new(path: Path) -> None:
    """Raise InputError if something is at `path` already, be it a broken link."""
    if os.path.lexists(path):
        raise InputError(f"{path} exists: choose a new name")


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Translate an OSError of the block to an InputError that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise InputError(
            f"cannot write {path}: {error.strerror}. Free space or choose another output folder"
        ) from error


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
    while (handle := _try_lock(path)) is None:
        if time.monotonic() >= give_up:
            raise InputError(taken)
        time.sleep(0.1)
    try:
        yield handle
    finally:
        with suppress(OSError):  # deleted already, or the system does not delete open files
            path.unlink()
        os.close(handle)


def _try_lock(path: Path) -> int | None:
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
