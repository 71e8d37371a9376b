"""A loss at the label's size for coarser logits, in little memory.

The logits of a few frames at a time are enlarged, compared with the label and freed. For the
backward pass only the gradient at the logits' own size is kept. This works for losses that are sums
over frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dashseg.models.layers import resize

PIXELS_AT_A_TIME = 2**19  # two frames of 437×582, or one that is larger

Size = tuple[int, int]
# (full-size logits (n, C, H, W) of some frames, the slice of these frames) -> their part of a loss.
Part = Callable[[Tensor, slice], Tensor]


def summed_over_frames(part: Part, logits: Tensor, size: Size) -> Tensor:
    """Sum `part` over all frames, a few at a time.

    Args:
        part: gets logits in float32, or float64 if `logits` is.
        logits: (B, C, h, w).
        size: (H, W) of the label.

    Returns:
        float32 scalar: `part(resize(logits, size), slice(0, B))` up to rounding.
    """
    total: Tensor = _SummedOverFrames.apply(logits, part, size)  # type: ignore[no-untyped-call]
    return total


def at_full_size(logits: Tensor, size: Size) -> Iterator[tuple[Tensor, slice]]:
    """Yield the enlarged logits of a few frames at a time, and the slice of these frames.

    Without gradients; in float32, or float64 if `logits` is.
    """
    with torch.no_grad(), torch.autocast(logits.device.type, enabled=False):
        for frames in _few_at_a_time(len(logits), size):
            yield resize(logits[frames].to(_float32_or_64(logits)), size), frames


def _few_at_a_time(count: int, size: Size) -> Iterator[slice]:
    step = max(1, PIXELS_AT_A_TIME // (size[0] * size[1]))
    return (slice(start, start + step) for start in range(0, count, step))


def _float32_or_64(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)


class _SummedOverFrames(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, part: Part, size: Size) -> Tensor:
        total = logits.new_zeros((), dtype=_float32_or_64(logits))
        gradients = []
        for frames in _few_at_a_time(len(logits), size):
            with torch.enable_grad(), torch.autocast(logits.device.type, enabled=False):
                # In half precision the gradient of a mean over a million pixels would be 0.
                leaf = logits[frames].detach().to(_float32_or_64(logits)).requires_grad_()
                value = part(resize(leaf, size), frames)
            total += value.detach()
            if ctx.needs_input_grad[0]:
                gradients.append(torch.autograd.grad(value, leaf)[0])
        ctx.dtype = logits.dtype
        if gradients:
            ctx.save_for_backward(torch.cat(gradients))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (own,) = ctx.saved_tensors
        return (own * gradient).to(ctx.dtype), None, None
