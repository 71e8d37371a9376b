"""The size rule: what the network sees of a frame of any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dashseg.config import InputConfig
from dashseg.input_size import to_working_size, working_size


@pytest.mark.parametrize(
    ("frame", "options", "expected"),
    [
        ((874, 1164), {"size": (437, 582)}, (437, 582)),
        ((1208, 1928), {"size": (437, 582)}, (365, 582)),  # wider: the width fills
        ((100, 50), {"size": (437, 582)}, (437, 218)),  # narrower and smaller: the height does
        ((874, 1164), {"size": (256, 256), "resize": "squash"}, (256, 256)),
        ((33, 1000), {"size": None}, (33, 1000)),
        ((10, 1000), {"size": None}, (32, 1000)),  # the network takes 32 and up
        ((10, 1000), {"size": (64, 64)}, (32, 64)),
    ],
)
def test_the_working_size(
    frame: tuple[int, int], options: dict[str, Any], expected: tuple[int, int]
) -> None:
    config = InputConfig(**options)
    assert working_size(frame, config) == expected
    assert to_working_size(np.zeros((*frame, 3), np.uint8), config).shape == (*expected, 3)
