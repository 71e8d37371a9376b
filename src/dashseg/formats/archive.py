"""A .zip of another tool -> a folder."""

from __future__ import annotations

import lzma
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dashseg.errors import InputError
from dashseg.files import check_file, join_inside, writing_to

# RuntimeError: encrypted, or packed by a method that Python does not know.
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, EOFError, ValueError)
_ROOM = 1 << 26  # bytes left free on the disk


@contextmanager
def unpacked(source: Path, beside: Path) -> Iterator[Path]:
    """Yield `source` itself, or the folder that a .zip holds, unpacked below `beside` meanwhile.

    A .zip that holds nothing but one folder gives that folder.

    Raises:
        InputError: damaged, encrypted, larger than the free disk, or a name leads out of it.
    """
    if source.is_dir() or source.suffix.lower() != ".zip":
        yield source
        return
    folder = beside / ".unpacked"
    try:
        with writing_to(beside):
            folder.mkdir()
        _unpack(source, folder)
        entries = list(folder.iterdir())
        yield entries[0] if len(entries) == 1 and entries[0].is_dir() else folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(source: Path, folder: Path) -> None:
    try:
        check_file(source)
        with zipfile.ZipFile(source) as archive:
            files = [entry for entry in archive.infolist() if not entry.is_dir()]
            needed = sum(entry.file_size for entry in files)
            free = shutil.disk_usage(folder).free - _ROOM
            if needed > free:
                raise InputError(
                    f"{source}: its files take {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB are free"
                )
            for entry in files:
                path = join_inside(folder, entry.filename)
                with writing_to(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    target = path.open("wb")
                with target, archive.open(entry) as data:
                    shutil.copyfileobj(data, target, 1 << 20)
    except _DAMAGED as error:
        raise InputError(f"{source}: not a .zip file that can be read: {error}") from error
    except OSError as error:
        raise InputError(f"{source}: cannot be unpacked: {error.strerror or error}") from error
