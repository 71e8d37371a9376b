"""What interrupts a training -> an exception that tells the user what to do."""

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
    """Ctrl-C stopped the training; `resume_run` resumes it."""


class Finished(InputError):
    """The run to resume has finished all its epochs."""


@contextmanager
def explained(root: Path) -> Iterator[None]:
    """Translate the exceptions of a training.

    Args:
        root: the run directory.

    Raises:
        Interrupted: Ctrl-C.
        InputError: the disk or memory is full, or batch norm gets one value per channel. The
            message says what to change.
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
        ) from None  # `error` would keep the tensors alive
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "batch norm cannot estimate a variance from one value per channel: raise"
            " training.batch_size, model.input.size or augment.crop"
        ) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise InputError(
            "a loader process was killed, probably because memory (in a container, /dev/shm) is"
            " full: set data.workers=0, or provide more memory"
        ) from error


def release(error: BaseException) -> None:
    """Free the tensors that the error's stack frames refer to."""
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
