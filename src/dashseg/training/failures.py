"""What stops a training -> the exception that says what to do."""

from __future__ import annotations

import errno
import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from dashseg.errors import InputError
from dashseg.files import writing_to

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)


class Interrupted(Exception):
    """The user stopped the training; `resume_run` resumes it."""


class Finished(InputError):
    """A run that is to be resumed has had all its epochs."""


@contextmanager
def explained(root: Path) -> Iterator[None]:
    """Translate what a training raises.

    Raises:
        Interrupted: Ctrl-C.
        InputError: full disk, full memory, one value for batch norm, with what to change.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Interrupted from stop
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        with writing_to(root):
            raise
    except torch.OutOfMemoryError as error:
        release(error)
        raise InputError(
            "the GPU's memory is full: lower training.batch_size (training.accumulate makes up"
            " for it) or augment.crop"
        ) from None  # what the error holds on to is released
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "batch norm has one value of each channel to tell their spread from: raise"
            " training.batch_size, model.input.size or augment.crop"
        ) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise InputError(
            "a process that reads frames was killed, as happens when memory, or /dev/shm in a"
            " container, is full: set data.workers=0, or give it more"
        ) from error


def release(error: BaseException) -> None:
    """Let go of the tensors that a failed step's frames hold on to."""
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
