from typing import Any

import numpy as np
import torch
from torch import nn

from dashseg.training.norms import averaged_statistics


def test_statistics_are_the_mean_over_the_passes_alone() -> None:
    rng = np.random.default_rng(0)
    norms: Any = nn.ModuleList([nn.BatchNorm2d(3), nn.BatchNorm2d(3, momentum=0.01)])
    for norm in norms:
        norm(torch.randn(2, 3, 4, 5) * 9 + 100)
    batches = [rng.normal(i, 1 + i, (2, 3, 4, 5)) for i in range(7)]
    for passes, batch in enumerate(batches):
        with averaged_statistics(norms, passes), torch.no_grad():
            for norm in norms:
                norm(torch.from_numpy(batch).float())
    for norm, precision in zip(norms, (1e-4, 1e-3), strict=True):
        mean = np.mean([batch.mean((0, 2, 3)) for batch in batches], 0)
        variance = np.mean([batch.var((0, 2, 3), ddof=1) for batch in batches], 0)
        assert np.allclose(norm.running_mean, mean, rtol=precision, atol=precision)
        assert np.allclose(norm.running_var, variance, rtol=precision, atol=precision)


def test_frozen_norms_keep_their_statistics() -> None:
    norm = nn.BatchNorm2d(3).eval()
    with averaged_statistics(norm, 0):
        norm(torch.randn(2, 3, 4, 5) + 7)
    assert norm.running_mean is not None and norm.running_var is not None
    assert norm.running_mean.eq(0).all() and norm.running_var.eq(1).all()


def test_the_variance_of_a_constant_channel_is_not_negative() -> None:
    norm = nn.BatchNorm2d(1)
    with averaged_statistics(norm, 0), torch.no_grad():
        norm(torch.full((2, 1, 4, 5), 1e-20))
    assert norm.running_var is not None
    assert norm.running_var.item() >= 0
