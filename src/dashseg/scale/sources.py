"""SRC -> rows, one after the other: what each is called and where it lies."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import PurePosixPath
from typing import Any

from dashseg.errors import InputError
from dashseg.images import IMAGE_SUFFIXES
from dashseg.inference.predict import expand
from dashseg.overlap import ahead
from dashseg.scale.containers import index, is_container
from dashseg.scale.row import Row
from dashseg.scale.storage import Storage, absolute, is_url

LISTS = (".txt", ".csv", ".parquet")
_PATH, _NAME = "path", "name"  # columns of a list
_LONGEST = 240, 1000  # bytes of a part of a name (file systems: 255), and of it all (S3: 1024)
_INDEXED = 16  # tars or videos at a time: their headers are waited for
_ROWS = 8192  # of a Parquet list that are read at once


def rows_of(sources: Iterable[str]) -> Iterator[Row]:
    """Every row of folders, lists, files and glob patterns, in that order.

    A file is an image, a tar or a video. Names are those that `predict_files` gives; a row of a
    list is called by its column "name", or by its path without the bucket; what is in a tar, by the
    tar's name and its own; a frame of a video by the video's name and its number. A tar or a video
    that cannot be read is one row, which fails in its turn.

    Raises:
        InputError: a source is not there, holds nothing, or has a name that cannot be a file's.
    """
    for source in sources:
        entries = [source] if is_url(source) else map(str, expand(source))
        files = chain.from_iterable(_files_of(absolute(entry)) for entry in entries)
        found = False
        for row in _unpacked(files):
            found = True
            yield _checked(row, source)
        if not found:
            suffixes = ", ".join(IMAGE_SUFFIXES)
            raise InputError(f"{source}: no images in it ({suffixes}), tars or videos")


def _unpacked(files: Iterable[Row]) -> Iterator[Row]:
    for packed, group in groupby(files, lambda row: is_container(row.path)):
        if packed:
            yield from chain.from_iterable(ahead(group, _index, size=_INDEXED, threads=_INDEXED))
        else:
            yield from group


def _index(row: Row) -> list[Row]:
    try:
        return index(row)
    except InputError:
        return [row]


def _files_of(entry: str) -> Iterator[Row]:
    suffix = PurePosixPath(entry).suffix.lower()
    if suffix in LISTS:
        yield from _of_list(Storage(entry), suffix)
    elif (storage := Storage(entry)).is_folder():
        for name, _ in storage.walk():
            if _is_image(name) or is_container(name):
                yield Row(_stem(name), storage.url(name))
    elif storage.size() is None:
        raise InputError(f"{entry}: no such file or folder")
    else:
        yield Row(PurePosixPath(_stem(entry)).name, entry)


def _of_list(listing: Storage, suffix: str) -> Iterator[Row]:
    with listing.open() as file:
        try:
            for cells in _CELLS[suffix](file, listing.name):
                given = str(cells.get(_PATH) or "").strip()
                if given:
                    name = cells.get(_NAME)
                    yield Row(str(name) if name else _stem(_key(given)), absolute(given, listing))
        except UnicodeDecodeError as error:
            raise InputError(f"{listing}: not UTF-8 text") from error


def _of_text(file: Any, source: str) -> Iterator[dict[str, Any]]:
    for line in io.TextIOWrapper(file, encoding="utf-8-sig"):
        yield {_PATH: line}


def _of_csv(file: Any, source: str) -> Iterator[dict[str, Any]]:
    lines = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    rows = csv.DictReader(lines, restkey="", restval="")
    try:
        if _PATH not in (rows.fieldnames or ()):
            raise InputError(f"{source}: expected a first line with the column {_PATH}")
        yield from rows
    except csv.Error as error:
        raise InputError(f"{source}: not valid CSV ({error})") from error


def _of_parquet(file: Any, source: str) -> Iterator[dict[str, Any]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        table = ParquetFile(file)
        columns = [name for name in (_PATH, _NAME) if name in table.schema_arrow.names]
        if _PATH not in columns:
            raise InputError(f"{source}: expected a column {_PATH}")
        for batch in table.iter_batches(_ROWS, columns=columns):
            yield from batch.to_pylist()
    except ArrowException as error:
        raise InputError(f"{source}: not valid Parquet ({error})") from error


_CELLS = {".txt": _of_text, ".csv": _of_csv, ".parquet": _of_parquet}


def _key(path: str) -> str:
    """A path below the root or the bucket: "s3://bucket/a/b.png" and "/a/b.png" -> "a/b.png"."""
    below = path.split("://", 1)[-1].partition("/")[2] if is_url(path) else path
    return "/".join(part for part in PurePosixPath(below).parts if part not in ("/", ".", ".."))


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _checked(row: Row, source: str) -> Row:
    """Raise InputError for a name that no file below DST can have."""
    name = row.name
    parts = name.split("/")
    unsafe = {"", ".", ".."} & set(parts) or "\0" in name
    try:
        lengths = [len(part.encode()) for part in parts]
    except UnicodeEncodeError as error:
        raise InputError(f"{source}: {name[:100]!r} is not UTF-8") from error
    too_long = max(lengths) > _LONGEST[0] or sum(lengths) + len(parts) > _LONGEST[1]
    if unsafe or too_long:
        what = "too long for a file's name" if too_long else "not a path inside a folder"
        raise InputError(f"{source}: {name[:100]!r} is {what}")
    return row
