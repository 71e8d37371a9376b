"""Checkpoints that are whole or absent, and the newest one that is.

`last.ckpt` is written to a temporary name, flushed to the disk and moved into place; the one before
it stays as `previous.ckpt`. A checkpoint is PyTorch's own file, a zip archive whose entries carry
checksums; PyTorch writes them and does not look at them, so this module does.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from dashseg.errors import InputError
from dashseg.files import replace_file
from dashseg.run_directory import RunDirectory


class Checkpoint(NamedTuple):
    """A checkpoint that was read and found whole."""

    path: Path
    content: dict[str, Any]

    @property
    def epochs(self) -> int:
        """How many epochs were finished."""
        return self.content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]

    @property
    def batches(self) -> int:
        """How many batches were trained on in the epoch after those."""
        return batches_into_epoch(self.content)

    @property
    def network(self) -> dict[str, torch.Tensor]:
        """The network's weights: the averaged ones where the run averages."""
        return network_weights(self.content)


def batches_into_epoch(content: dict[str, Any]) -> int:
    """Batches done of an epoch that was not finished; 0 between epochs."""
    loops = content["loops"]["fit_loop"]
    epoch = loops["epoch_progress"]["current"]
    if epoch["processed"] == epoch["started"]:
        return 0
    return loops["epoch_loop.batch_progress"]["current"]["processed"]


def batches_to_skip(content: dict[str, Any], batches_per_epoch: int) -> int:
    """Batches that a resumed epoch leaves out.

    0 if it has another number of batches than when it was begun, as after running out of memory
    and lowering the batch size: then it begins again.
    """
    if content["batches_per_epoch"] != batches_per_epoch:
        return 0
    return batches_into_epoch(content)


def network_weights(content: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The network's weights out of a checkpoint's content."""
    prefix = "network."
    return {
        key.removeprefix(prefix): value
        for key, value in content["state_dict"].items()
        if key.startswith(prefix)
    }


def newest_checkpoint(run: RunDirectory, say: Callable[[str], None]) -> Checkpoint | None:
    """The last checkpoint of a run, or the one before it where that is damaged; None without any.

    A damaged one is set aside, so that none that is whole will have to make room for it.

    Raises:
        InputError: there are checkpoints, and all of them are damaged.
    """
    there = [path for path in (run.last, run.previous) if path.is_file()]
    for path in there:
        try:
            return Checkpoint(path, read_checkpoint(path))
        except InputError as error:
            if path == there[-1]:
                raise
            aside = path.with_suffix(".damaged")
            with suppress(OSError):  # another process of the same training has done it
                path.replace(aside)
            say(f"warning: {error} (now {aside.name}); going on from the one before it")
    return None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, weights and plain values alone: no code in it is run.

    Raises:
        InputError: cut off, changed since it was written, or no checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is None:
            content = torch.load(path, map_location="cpu", weights_only=True)
            if content.keys() >= {"state_dict", "loops", "optimizer_states"}:
                return content
    except Exception as error:  # zipfile and torch raise whatever the damaged bytes lead to
        raise InputError(f"{path}: damaged, or not a checkpoint of dashseg") from error
    raise InputError(f"{path}: damaged, or not a checkpoint of dashseg")


@contextmanager
def new_checkpoint(run: RunDirectory) -> Iterator[Path]:
    """Yield a temporary path; what is written there becomes `last.ckpt` when the block succeeds.

    Raises:
        InputError: the disk is full or cannot be written; the checkpoints are as they were.
    """
    with replace_file(run.last) as temporary:
        yield temporary
        _flush(temporary)  # or a power cut could leave the name without the bytes
        with suppress(FileNotFoundError):
            run.last.replace(run.previous)
    with suppress(OSError):  # not every system can flush a folder
        _flush(run.last.parent)


def clear_unfinished(*folders: Path, name: str = "*") -> None:
    """Remove what a killed process left of files and folders that it was writing into these.

    Args:
        name: of the file or folder; other ones may be in the making.
    """
    for folder in folders:
        # As files.py names them.
        for path in (*folder.glob(f".{name}.*.tmp"), *folder.glob(f".{name}.*.old")):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
