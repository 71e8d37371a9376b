"""Checkpoints that are whole or absent, and the newest one that is.

`last.ckpt` is written to a temporary name, flushed to the disk and moved into place; the one before
it stays as `previous.ckpt`. A checkpoint is PyTorch's own file, a zip archive whose entries carry
checksums; PyTorch writes them and does not look at them, so this module does.
"""

from __future__ import annotations

import io
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
        epochs: int = self.content["epoch"]
        return epochs

    @property
    def batches(self) -> int:
        """How many batches were trained on in the epoch after those."""
        batches: int = self.content["batch"]
        return batches

    @property
    def network(self) -> dict[str, torch.Tensor]:
        """The network's weights: the averaged ones where the run averages."""
        if self.content["average"] is not None:
            average: dict[str, torch.Tensor] = self.content["average"]["network"]
            return average
        prefix = "network."  # beside it, an auxiliary head may have been trained
        return {
            key.removeprefix(prefix): value
            for key, value in self.content["model"].items()
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
            say(f"warning: {error} (now {aside.name}); using the one before it")
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
            if content.keys() >= {"model", "average", "optimizer", "epoch", "batch"}:
                return content
    except Exception as error:  # zipfile and torch raise whatever the damaged bytes lead to
        raise InputError(f"{path}: damaged, or not a checkpoint of dashseg") from error
    raise InputError(f"{path}: damaged, or not a checkpoint of dashseg")


@contextmanager
def new_checkpoint(run: RunDirectory, content: dict[str, Any]) -> Iterator[Path]:
    """Write a checkpoint to a temporary file, which becomes `last.ckpt` when the block succeeds.

    Args:
        content: tensors and plain values.

    Raises:
        InputError: the disk is full or cannot be written; the checkpoints are as they were.
    """
    # In memory first: where torch writes to a full disk, its error says nothing of the disk.
    packed = io.BytesIO()
    torch.save(content, packed)
    with replace_file(run.last) as temporary:
        with temporary.open("wb") as file:
            file.write(packed.getbuffer())
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the name without the bytes
        yield temporary
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
