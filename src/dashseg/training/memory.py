"""Out of GPU memory -> the batch size that would fit, from the bytes that a frame really takes."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable

import torch

_SPARE = 0.92  # of the memory: the rest is lost to fragments, and to cuDNN's choice of algorithms


def largest_batch(measure: Callable[[int], int], capacity: int, fixed: int, tried: int) -> int:
    """How many frames fit; 0 if not even one does.

    Args:
        measure: frames -> bytes at the peak of a step with so many. Asked for 1 and 2.
        capacity: bytes that this process can have.
        fixed: bytes that come on top of what was measured, such as the optimiser's state.
        tried: what did not fit: the answer is smaller.

    Raises:
        torch.OutOfMemoryError: `measure` does, with one frame.
    """
    one, two = measure(1), measure(2)
    frame = max(1, two - one)
    rest = one - frame + fixed
    return max(0, min(tried - 1, int((_SPARE * capacity - rest) // frame)))


def release(error: BaseException) -> None:
    """Let go of the tensors that a failed step's frames hold on to."""
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def peak_on_gpu(step: Callable[[], None], device: torch.device) -> int:
    """Bytes that were allocated on `device` at the worst moment of `step`."""
    torch.cuda.reset_peak_memory_stats(device)
    step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device)


def capacity_of_gpu(device: torch.device) -> int:
    """Bytes that this process has or can have there."""
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
