"""A loss at the label's full size, of logits that are coarser, without holding them at full size.

Each few frames' logits are enlarged, compared and dropped again before the next ones': what stays
for the backward pass is the gradient at the logits' own size. Only for losses that are sums over
frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dashseg.models.layers import resize

_PIXELS = 2**19  # enlarged at a time: two frames of 437×582, or one that is larger

Loss = Callable[[Tensor, Tensor], Tensor]


def summed_over_frames(loss: Loss, logits: Tensor, label: Tensor) -> Tensor:
    """The sum of `loss(logits of a few frames at full size, their labels)` over all frames.

    Args:
        loss: of float32 (n, C, H, W) and int64 (n, H, W), a sum over the n frames.
        logits: (B, C, h, w).
        label: int64 (B, H, W).

    Returns:
        float32 scalar, the same as `loss(resize(logits, (H, W)), label)` within rounding.
    """
    total: Tensor = _SummedOverFrames.apply(logits, label, loss)  # type: ignore[no-untyped-call]
    return total


class _SummedOverFrames(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, label: Tensor, loss: Loss) -> Tensor:
        size = label.shape[-2:]
        step = max(1, _PIXELS // size.numel())
        exact = torch.promote_types(logits.dtype, torch.float32)
        total = logits.new_zeros((), dtype=exact)
        gradients = []
        for start in range(0, len(logits), step):
            part, target = logits[start : start + step], label[start : start + step]
            with torch.enable_grad(), torch.autocast(logits.device.type, enabled=False):
                # In half precision the gradient of a mean over a million pixels would be 0.
                leaf = part.detach().to(exact).requires_grad_()
                value = loss(resize(leaf, size), target)
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
