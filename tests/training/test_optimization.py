from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from dashseg.config import OptimizerConfig, Recipe
from dashseg.models import build_model
from dashseg.training.optimization import (
    build_optimizer,
    learning_rate_factor,
    parameter_groups,
)


def test_norms_and_biases_have_no_weight_decay() -> None:
    model: Any = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    optimizer = build_optimizer(model, OptimizerConfig(weight_decay=0.1))
    decayed, plain = optimizer.param_groups
    assert decayed["weight_decay"] == 0.1
    assert plain["weight_decay"] == 0
    assert {id(p) for p in decayed["params"]} == {id(model[0].weight), id(model[2].weight)}
    assert len(plain["params"]) == 4  # two biases, the norm's weight and bias


def test_the_encoder_can_have_its_own_learning_rate(tiny_recipe: Callable[..., Recipe]) -> None:
    model = build_model(tiny_recipe().model)
    groups = parameter_groups(model, OptimizerConfig(learning_rate=0.5, encoder_factor=0.1))
    encoder = {id(p) for p in model.encoder.parameters()}
    for group in groups:
        inside = {id(p) in encoder for p in group["params"]}
        assert inside == {group["lr"] == 0.05}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_adamw_shrinks_a_weight_without_gradient_and_adam_does_not_decouple() -> None:
    names: Any = (("adamw", True), ("adam", False))
    for name, shrinks in names:
        weight = nn.Parameter(torch.ones(2, 2))
        model: Any = nn.Module()
        model.weight = weight
        config = OptimizerConfig(name=name, learning_rate=0.1, weight_decay=0.5)
        weight.grad = torch.zeros(2, 2)
        build_optimizer(model, config).step()
        # AdamW: 1 - lr × decay. Adam: the decay is a gradient, which it scales to one full step.
        assert weight[0, 0].item() == pytest.approx(0.95 if shrinks else 0.9, abs=1e-4)


def test_poly_falls_from_1_to_0_by_its_power() -> None:
    factor = learning_rate_factor(OptimizerConfig(schedule="poly", power=0.9), 100)
    assert factor(0) == 1
    assert factor(50) == pytest.approx(0.5**0.9)
    assert factor(100) == 0


def test_the_schedule_begins_after_a_linear_warm_up() -> None:
    factor = learning_rate_factor(OptimizerConfig(schedule="constant", warmup=0.1), 100)
    assert [factor(step) for step in (0, 4, 9, 10, 99)] == pytest.approx(
        [1 / 11, 5 / 11, 10 / 11, 1, 1]
    )


def test_one_cycle_is_pytorchs_own() -> None:
    steps = 50
    config = OptimizerConfig(schedule="one_cycle", learning_rate=0.2)
    factor = learning_rate_factor(config, steps)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=steps)
    theirs = []
    for _ in range(steps):
        theirs.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    ours = [0.2 * factor(step) for step in range(steps)]
    # PyTorch puts the peak at step 0.3 × steps - 1 and the end at the last step: one step apart.
    assert max(ours) == pytest.approx(max(theirs), rel=1e-6)
    assert ours == pytest.approx(theirs, abs=0.02)


def test_every_factor_stays_between_zero_and_one() -> None:
    for schedule in ("poly", "one_cycle", "constant"):
        for warmup in (0.0, 0.2):
            factor = learning_rate_factor(OptimizerConfig(schedule=schedule, warmup=warmup), 37)
            assert all(0 <= factor(step) <= 1 for step in range(40))
