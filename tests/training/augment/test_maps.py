"""The fast ways give what PyTorch's own resampling and pooling give."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from dashseg.training.augment.maps import enlarge, largest_along, shrink, smear


@pytest.fixture
def values() -> torch.Tensor:
    return torch.rand(2, 3, 19, 23, generator=torch.Generator().manual_seed(0))


def test_enlarging_is_bilinear(values: torch.Tensor) -> None:
    want = F.interpolate(values, (45, 61), mode="bilinear", align_corners=False)
    assert torch.allclose(enlarge(values, (45, 61)), want, atol=1e-6)


def test_shrinking_is_by_area_up_to_the_edges(values: torch.Tensor) -> None:
    small = shrink(values, 4)
    assert small.shape == (2, 3, 5, 6)
    assert torch.allclose(small[0, 1, -1, -1], values[0, 1, 16:, 20:].mean())
    assert shrink(values, 1) is values


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize(("radius", "times"), [(1, 1), (4, 1), (2, 3), (12, 2)])
def test_smearing_is_repeated_average_pooling(
    values: torch.Tensor, radius: int, times: int, rows: bool
) -> None:
    window, padding = (2 * radius + 1, 1), (radius, 0)
    want = values
    for _ in range(times):
        want = F.avg_pool2d(
            want, window if rows else window[::-1], 1, padding if rows else padding[::-1]
        )
    assert torch.allclose(smear(values, radius, times, rows=rows), want, atol=1e-6)


@pytest.mark.parametrize("reach", [1, 2, 3, 4, 7])
def test_largest_along_is_max_pooling(values: torch.Tensor, reach: int) -> None:
    values = values - 0.5  # negative ones too, which no padding may outdo
    down = F.max_pool2d(values, (2 * reach + 1, 1), 1, (reach, 0))
    across = F.max_pool2d(values, (1, 2 * reach + 1), 1, (0, reach))
    assert torch.equal(largest_along(values, reach, 2), down)
    assert torch.equal(largest_along(values, reach, 3), across)
