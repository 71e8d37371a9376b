"""Writing checkpoints so that none is ever half written, and reading the newest valid one.

`last.ckpt` is written to a temporary name, flushed to the disk and moved into place; the checkpoint
before it becomes `previous.ckpt`. A checkpoint is a file of `torch.save`: a zip archive with a
checksum for each entry. PyTorch does not verify the checksums; this module does.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from dashseg.errors import InputError
from dashseg.files import replace_file
from dashseg.run_directory import RunDirectory

_DAMAGED = "damaged, or not a checkpoint of dashseg"
_KINDS = {
    "model": dict, "optimizer": dict, "precision": dict, "history": list, "loss_sum": float,
    "epoch": int, "batch": int, "batches": int, "step": int,
}  # fmt: skip


class Checkpoint(NamedTuple):
    """A valid checkpoint, read into memory."""

    path: Path
    content: dict[str, Any]

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        epochs: int = self.content["epoch"]
        return epochs

    @property
    def batches(self) -> int:
        """Number of finished batches in the epoch after those."""
        batches: int = self.content["batch"]
        return batches

    @property
    def network(self) -> dict[str, torch.Tensor]:
        """The network's state dict; the averaged one if the run averages."""
        if self.content["average"] is not None:
            average: dict[str, torch.Tensor] = self.content["average"]["network"]
            return average
        prefix = "network."  # the model may also have an auxiliary head
        return {
            key.removeprefix(prefix): value
            for key, value in self.content["model"].items()
            if key.startswith(prefix)
        }


def newest_checkpoint(run: RunDirectory, say: Callable[[str], None]) -> Checkpoint | None:
    """A run's last checkpoint, or the previous one if that is damaged; None if there is none.

    A damaged checkpoint is renamed, so that it never replaces a valid `previous.ckpt`.

    Raises:
        InputError: all checkpoints are damaged.
    """
    existing = [path for path in (run.last, run.previous) if path.is_file()]
    for path in existing:
        try:
            return Checkpoint(path, read_checkpoint(path))
        except InputError as error:
            if path == existing[-1]:
                raise
            renamed = path.with_suffix(".damaged")
            with suppress(OSError):  # another process of the same training may have done it
                path.replace(renamed)
            say(f"warning: {error} (now {renamed.name}); using the one before it")
    return None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read tensors and plain values; code in the file is not run.

    Raises:
        InputError: truncated, damaged, or not a checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is None:
            content = torch.load(path, map_location="cpu", weights_only=True)
            complete = content.keys() >= {"model", "average", "optimizer", "epoch", "batch"}
            fits = all(isinstance(content.get(key, kind()), kind) for key, kind in _KINDS.items())
            if complete and fits and _is_plain(content):
                return content
    except Exception as error:  # zipfile and torch raise many types for damaged bytes
        raise InputError(f"{path}: {_DAMAGED}") from error
    raise InputError(f"{path}: {_DAMAGED}")


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Translate the errors of a block that puts a checkpoint's content to use to InputError."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise InputError(f"{path}: {_DAMAGED}: {error}") from error


def _is_plain(value: Any) -> bool:
    """Whether there are only numbers, texts and ordinary tensors in it."""
    if isinstance(value, dict):
        return all(map(_is_plain, (*value.keys(), *value.values())))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, torch.Tensor):  # not "meta", without values, and not sparse
        return value.device.type == "cpu" and value.layout == torch.strided
    return value is None or isinstance(value, bool | int | float | str)


@contextmanager
def new_checkpoint(run: RunDirectory, content: dict[str, Any]) -> Iterator[Path]:
    """Write a checkpoint to a temporary file; it becomes `last.ckpt` when the block succeeds.

    Args:
        content: tensors and plain values.

    Raises:
        InputError: the disk is full or cannot be written; the old checkpoints are unchanged.
    """
    # To memory first: torch's own error on a full disk does not mention the disk.
    packed = io.BytesIO()
    torch.save(content, packed)
    with replace_file(run.last) as temporary:
        with temporary.open("wb") as file:
            file.write(packed.getbuffer())
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave an empty last.ckpt
        yield temporary
        with suppress(FileNotFoundError):
            run.last.replace(run.previous)
    with suppress(OSError):  # some systems cannot flush a folder
        _flush(run.last.parent)


def clear_unfinished(*folders: Path) -> None:
    """Remove the temporary files that a killed process left in these folders of a run."""
    for folder in folders:
        for path in folder.glob(".*.*.tmp"):  # as `files.replace_file` calls them
            if not path.is_dir():
                path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
