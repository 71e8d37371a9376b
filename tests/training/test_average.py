from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dashseg.training.average import MovingAverage


def test_a_short_run_does_not_average_its_random_start() -> None:
    network: Any = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    average, rng, want = MovingAverage(network, 0.9), np.random.default_rng(0), None
    conv: Any
    norm: Any
    for step in range(100):
        values = rng.normal(size=3)
        with torch.no_grad():
            network[0].bias.copy_(torch.from_numpy(values))
        network[1].running_mean.copy_(torch.from_numpy(2 * values))
        network[1].num_batches_tracked.fill_(7 * step)
        decay = min(0.9, (1 + step) / (10 + step))
        want = values if want is None else decay * want + (1 - decay) * values
        average.update(network)
        conv, norm = average.network.children()
        assert torch.allclose(conv.bias.double(), torch.from_numpy(want), atol=1e-6)
        assert torch.allclose(norm.running_mean.double(), torch.from_numpy(2 * want), atol=1e-6)
        assert norm.num_batches_tracked == 7 * step
    assert average.updates == 100


def test_a_resumed_average_continues_with_its_count() -> None:
    network: Any = nn.Linear(1, 1, bias=False)
    before = MovingAverage(network, 0.9)
    before.update(network)
    ours, theirs = network.weight.item(), 3.0
    fresh: Any = nn.Linear(1, 1, bias=False)
    average: Any = MovingAverage(fresh, 0.9)
    average.load_state_dict(before.state_dict())
    nn.init.constant_(network.weight, theirs)
    average.update(network)
    assert average.network.weight.item() == pytest.approx(2 / 11 * ours + 9 / 11 * theirs)


def test_the_moving_average_reads_nothing_back_from_a_device() -> None:
    """A device without memory, "meta", stands for the GPU: it cannot be read."""
    first: Any = nn.Conv2d(2, 3, 1, device="meta")
    average = MovingAverage(first, 0.9)
    for _ in range(2):
        following: Any = nn.Conv2d(2, 3, 1, device="meta")
        average.update(following)
    assert average.updates == 2
