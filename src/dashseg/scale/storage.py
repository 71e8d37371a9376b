"""A folder on this machine's disks or in an object store: read, written and listed by one class.

URLs: s3://, gs://, hdfs://, az:// and abfs:// by pyarrow; others by fsspec, if it knows them.
Credentials come from where each library looks for them: the environment or the machine's role.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from pyarrow import ArrowException, fs

from dashseg.errors import InputError

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_AZURE_ACCOUNT = "AZURE_STORAGE_ACCOUNT_NAME"
TEMPORARY = "tmp"
_DEEPEST = 100  # folders in each other


def is_url(text: str) -> bool:
    """Whether it names something in an object store. "C:/x" does not."""
    return _URL.match(text) is not None


class Storage:
    """A folder, or a file, that every machine of the cluster sees under one name.

    Args:
        name: a path on this machine, or a URL.
        temporary: folder in it where files are written before they get their names, where a file
            system has no other way to write a file whole or not at all.

    Raises:
        InputError: no library here knows the URL's scheme, or its bucket cannot be reached.
    """

    def __init__(self, name: str, temporary: str = TEMPORARY) -> None:
        self.temporary = temporary
        self.local = not is_url(name)
        self.name = os.path.abspath(name) if self.local else name.rstrip("/")
        with _explained(self.name):
            self._files, self._root = _open(self.name)
        self._renames = self.local or self._files.type_name == "hdfs"

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[type[Storage], tuple[str, str]]:
        return Storage, (self.name, self.temporary)

    def url(self, name: str) -> str:
        """The name of a file in it, for people and for `Storage`."""
        return f"{self.name}/{name}"

    def read(self, name: str = "", start: int = 0, size: int | None = None) -> bytes:
        """The bytes of a file, or `size` of them from `start` on.

        Raises:
            InputError: it is not there or cannot be read.
        """
        with self.open(name) as file:
            file.seek(start)
            return file.read(size)

    @contextmanager
    def open(self, name: str = "") -> Iterator[Any]:
        """A file to read and seek in: a pyarrow NativeFile."""
        with _explained(self.url(name) if name else self.name):  # noqa: SIM117
            with self._files.open_input_file(self._path(name)) as file:
                yield file

    def size(self, name: str = "") -> int | None:
        """Bytes of a file; None: there is none."""
        with _explained(self.url(name)):
            info = self._files.get_file_info(self._path(name))
        return info.size if info.type == fs.FileType.File else None

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all; one that is there is replaced.

        Raises:
            InputError: it cannot be written.
        """
        path = self._path(name)
        with _explained(self.url(name)):
            if not self._renames:  # an object is there once it is whole
                with self._files.open_output_stream(path) as file:
                    file.write(data)
                return
            for folder in (path.rpartition("/")[0], self._path(self.temporary)):
                self._files.create_dir(folder, recursive=True)
            temporary = f"{self._path(self.temporary)}/{uuid.uuid4().hex}"
            try:
                with self._files.open_output_stream(temporary) as file:
                    file.write(data)
                if not self.local and self._files.get_file_info(path).type == fs.FileType.File:
                    self._files.delete_file(path)  # HDFS moves to free names only
                self._files.move(temporary, path)
            except BaseException:
                with suppress(OSError):
                    self._files.delete_file(temporary)
                raise

    def delete(self, name: str) -> None:
        """Delete a file, or a folder and all in it, if it is there."""
        path = self._path(name)
        with _explained(self.url(name)), suppress(FileNotFoundError):
            if self._files.get_file_info(path).type == fs.FileType.Directory:
                self._files.delete_dir(path)
            else:
                self._files.delete_file(path)

    def names(self, folder: str = "") -> list[str]:
        """Names of all in one of its folders, sorted; [] if there is no such folder."""
        return [entry.base_name for entry in self._list(folder)]

    def walk(self) -> Iterator[tuple[str, int]]:
        """Name below it, and bytes, of every file that is not hidden, folder by folder, sorted.

        Links are followed, but not back to a folder that they are in. The entries of one folder
        are in memory at a time, and the names of the folders above it.

        Raises:
            InputError: a folder cannot be listed, or folders are nested too deep.
        """
        waiting: list[tuple[str, tuple[str, ...]]] = [("", ())]
        while waiting:
            folder, above = waiting.pop()
            if self.local:  # a link may lead back
                real = os.path.realpath(self._path(folder))
                if real in above:
                    continue
                above = (*above, real)
            if folder.count("/") > _DEEPEST:
                raise InputError(f"{self}: more than {_DEEPEST} folders in each other")
            below = []
            for entry in self._list(folder):
                if entry.base_name.startswith("."):
                    continue
                name = f"{folder}/{entry.base_name}" if folder else entry.base_name
                if entry.is_file:
                    yield name, entry.size
                elif entry.type == fs.FileType.Directory:
                    below.append((name, above))
            waiting += reversed(below)

    def is_folder(self) -> bool:
        """Whether it is a folder and not a file."""
        with _explained(self.name):
            return self._files.get_file_info(self._root).type == fs.FileType.Directory

    def _list(self, folder: str) -> list[Any]:
        with _explained(self.url(folder) if folder else self.name):
            found = self._files.get_file_info(
                fs.FileSelector(self._path(folder), allow_not_found=True)
            )
        return sorted(found, key=lambda entry: entry.base_name)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root


def _open(name: str) -> tuple[Any, str]:
    """The file system, and the path in it. Names are taken as they are: %20 is no space."""
    match = _URL.match(name)
    if match is None:
        return fs.LocalFileSystem(), name
    host, _, below = name[match.end() :].partition("/")
    try:
        files, root = _connect(match[1].lower(), host)
    except ArrowException as error:
        if "Unrecognized filesystem type" not in str(error):
            raise
        return _open_by_fsspec(name)
    return files, f"{root.rstrip('/')}/{below}".rstrip("/")


@lru_cache(maxsize=16)
def _connect(scheme: str, host: str) -> tuple[Any, str]:
    """The file system of a bucket, and the path of its root."""
    if scheme in ("az", "azure"):
        account = os.environ.get(_AZURE_ACCOUNT)
        if not account:
            raise InputError(f"{scheme}://{host}: set {_AZURE_ACCOUNT} to the account's name")
        return fs.AzureFileSystem(account), host
    # A file is then written by one request instead of three.
    settings = "?allow_delayed_open=true" if scheme == "s3" else ""
    return fs.FileSystem.from_uri(f"{scheme}://{host}{settings}")


def _open_by_fsspec(name: str) -> tuple[Any, str]:
    import fsspec

    try:
        files, path = fsspec.core.url_to_fs(name)
    except (ImportError, ValueError) as error:
        raise InputError(f"{name}: {error}") from error
    return fs.PyFileSystem(fs.FSSpecHandler(files)), path.rstrip("/")


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Translate what file systems raise to an InputError that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file or folder") from error
    except (OSError, ArrowException) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{name}: {reason}") from error


def absolute(name: str, beside: Storage | None = None) -> str:
    """A name that holds on every machine: an absolute path, or a URL.

    Args:
        beside: the list that a relative path stands in: the path is relative to its folder.
    """
    if is_url(name) or beside is None:
        return name if is_url(name) else os.path.abspath(name)
    if not beside.local:
        return name if name.startswith("/") else f"{beside.name.rpartition('/')[0]}/{name}"
    return os.path.abspath(Path(beside.name).parent / name)
