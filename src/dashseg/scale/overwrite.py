"""Delete what an earlier run wrote, and nothing else."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

from dashseg.errors import InputError
from dashseg.scale.record import ERRORS, Record
from dashseg.scale.storage import Storage

_THREADS = 32  # they wait for a disk or an object store


def remove_earlier(storage: Storage, record: Record) -> None:
    """Delete the files of the run in `storage`, then its record.

    Raises:
        InputError: a file was changed since; it and the record stay.
    """
    with ThreadPoolExecutor(_THREADS) as threads:
        strays = [name for found in threads.map(lambda s: _remove(storage, record, s),
                  record.all_begun()) for name in found]  # fmt: skip
    if strays:
        raise InputError(
            f"{storage.url(strays[0])} was changed since dashseg wrote it: move it, or choose"
            " another folder"
        )
    storage.delete(ERRORS)
    record.forget()


def _remove(storage: Storage, record: Record, shard: int) -> list[str]:
    """Delete the files of a shard; the names of those that are not as they were written."""
    strays = []
    for name, digests in record.begun(shard).items():
        if storage.size(name) is None:
            continue
        if hashlib.sha256(storage.read(name)).hexdigest() in digests:
            storage.delete(name)
        else:
            strays.append(name)
    return strays
