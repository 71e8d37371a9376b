"""The optimiser and the path of its learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn, optim

from dashseg.config import OptimizerConfig


def build_optimizer(
    model: nn.Module, config: OptimizerConfig, fused: bool = False
) -> optim.Optimizer:
    """AdamW (or Adam) with weight decay on weights alone: not on biases, nor on norms.

    Biases and norms have one dimension, weights have more.

    Args:
        fused: one kernel for all of a step; Lightning clips no gradients for it in mixed precision.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    kind = {"adamw": optim.AdamW, "adam": optim.Adam}[config.name]
    return kind(groups, lr=config.learning_rate, fused=fused or None)


def learning_rate_factor(config: OptimizerConfig, steps: int) -> Callable[[int], float]:
    """Step -> factor of the learning rate, 1 at its highest.

    poly: (1 - t)^power, t the share of steps done; Liu et al., "ParseNet" (2015), DeepLab since.
    one_cycle: a cosine up from 1/25 over the warm-up (0.3 of all steps unless given), a cosine
    down to almost nothing; Smith and Topin, "Super-convergence" (2018). The others rise linearly
    over the warm-up.
    """
    if config.schedule == "one_cycle":
        rise = max(1, round((config.warmup or 0.3) * steps))
        return lambda step: _one_cycle(step, rise, steps)
    rise = round(config.warmup * steps)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        if config.schedule == "constant":
            return 1.0
        done = (step - rise) / max(1, steps - rise)
        return max(0.0, 1 - done) ** config.power

    return factor


def _one_cycle(step: int, rise: int, steps: int) -> float:
    start, end = 1 / 25, 1e-4 / 25  # torch.optim.lr_scheduler.OneCycleLR's defaults
    if step < rise:
        return _cosine(start, 1, step / rise)
    return _cosine(1, end, min(1, (step - rise) / max(1, steps - rise)))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
