"""The optimiser and its learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import nn, optim

from dashseg.config import OptimizerConfig
from dashseg.models import DeepLabV3


def build_optimizer(
    model: DeepLabV3,
    config: OptimizerConfig,
    auxiliary: nn.Module | None = None,
    fused: bool = False,
) -> optim.Optimizer:
    """Make the recipe's AdamW or Adam for `parameter_groups`.

    Args:
        auxiliary: a head that is trained too.
        fused: compute a step in one kernel. Set False for a scaled loss (float16): the fused kernel
            removes the scale only after the gradients are clipped.
    """
    kind = {"adamw": optim.AdamW, "adam": optim.Adam}[config.name]
    return kind(parameter_groups(model, config, auxiliary), fused=fused or None)


def parameter_groups(
    model: DeepLabV3, config: OptimizerConfig, auxiliary: nn.Module | None = None
) -> list[dict[str, Any]]:
    """The trainable parameters in groups with a highest learning rate and a weight decay.

    Biases and norms, which have one dimension, have no weight decay. The encoder has its own groups
    if its learning rate differs.
    """
    encoder = {id(p) for p in model.encoder.parameters()} if config.encoder_factor != 1 else set()
    learning = [*model.parameters(), *(auxiliary.parameters() if auxiliary else ())]
    groups = []
    for factor, inside in ((1.0, False), (config.encoder_factor, True)):
        part = [p for p in learning if p.requires_grad and (id(p) in encoder) == inside]
        rate = config.learning_rate * factor
        for decay, params in (
            (config.weight_decay, [p for p in part if p.ndim > 1]),
            (0.0, [p for p in part if p.ndim <= 1]),
        ):
            if params:
                groups.append(
                    {"params": params, "lr": rate, "factor": factor, "weight_decay": decay}
                )
    return groups


def set_learning_rate(optimizer: optim.Optimizer, rate: float) -> None:
    """Set each group's learning rate to `rate` times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


def learning_rate_factor(config: OptimizerConfig, steps: int) -> Callable[[int], float]:
    """The schedule: step -> factor of the learning rate, at most 1.

    poly: (1 - t)^power, where t is the share of steps done; Liu et al., "ParseNet" (2015), and
    DeepLab since. constant: 1. Both rise linearly over the warm-up. one_cycle: a cosine up from
    1/25 over the warm-up (by default 0.3 of all steps), then a cosine down to almost 0; Smith and
    Topin, "Super-convergence" (2018).

    Args:
        steps: of the whole training.
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
