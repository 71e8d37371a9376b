"""A loss at the label's full size, of logits that are coarser, without holding them at full size.

Each few frames' logits are enlarged, compared and dropped again before the next ones': what stays
for the backward pass is the gradient at the logits' own size. Only for losses that are sums over
frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dashseg.models.layers import resize

_PIXELS = 2**19  # enlarged at a time: two frames of 437×582, or one that is larger

Size = tuple[int, int]
# Full-size float32 logits (n, C, H, W) of some frames, and which they are -> their part of the sum.
Part = Callable[[Tensor, slice], Tensor]


def summed_over_frames(part: Part, logits: Tensor, size: Size) -> Tensor:
    """The sum of `part(logits of a few frames at full size, which frames)` over all frames.

    Args:
        logits: (B, C, h, w).
        size: H, W.

    Returns:
        float32 scalar, the same as `part(resize(logits, size), slice(0, B))` within rounding.
    """
    total: Tensor = _SummedOverFrames.apply(logits, part, size)  # type: ignore[no-untyped-call]
    return total


def at_full_size(logits: Tensor, size: Size) -> Iterator[tuple[Tensor, slice]]:
    """A few frames at a time: their logits at `size`, in single precision at least, without
    gradients; and which frames they are."""
    with torch.no_grad(), torch.autocast(logits.device.type, enabled=False):
        for frames in _few_at_a_time(len(logits), size):
            yield resize(logits[frames].to(_exact(logits)), size), frames


def _few_at_a_time(count: int, size: Size) -> Iterator[slice]:
    step = max(1, _PIXELS // (size[0] * size[1]))
    return (slice(start, start + step) for start in range(0, count, step))


def _exact(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)


class _SummedOverFrames(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, part: Part, size: Size) -> Tensor:
        total = logits.new_zeros((), dtype=_exact(logits))
        gradients = []
        for frames in _few_at_a_time(len(logits), size):
            with torch.enable_grad(), torch.autocast(logits.device.type, enabled=False):
                # In half precision the gradient of a mean over a million pixels would be 0.
                leaf = logits[frames].detach().to(_exact(logits)).requires_grad_()
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
