"""The optimiser and the path of its learning rate."""

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
    """AdamW (or Adam) over `parameter_groups`.

    Args:
        auxiliary: a head that learns with the model.
        fused: one kernel for all of a step. Not where the loss is scaled: it would take the scale
            off after the gradients were clipped.
    """
    kind = {"adamw": optim.AdamW, "adam": optim.Adam}[config.name]
    return kind(parameter_groups(model, config, auxiliary), fused=fused or None)


def parameter_groups(
    model: DeepLabV3, config: OptimizerConfig, auxiliary: nn.Module | None = None
) -> list[dict[str, Any]]:
    """What learns, at which highest rate, with which decay.

    Weights decay; biases and norms, which have one dimension, do not. An encoder that learns at a
    rate of its own has groups of its own.
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
    """Set the rate of each group of `parameter_groups`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


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
