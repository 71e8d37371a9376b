from typing import Literal

import pytest

from dashseg.config import InputConfig
from dashseg.models.input import mean_colour


@pytest.mark.parametrize(("channels", "rgb"), [("rgb", [26, 51, 76]), ("bgr", [76, 51, 26])])
def test_the_mean_colour_is_rgb_for_a_bgr_network_too(
    channels: Literal["rgb", "bgr"], rgb: list[int]
) -> None:
    config = InputConfig(channels=channels, mean=(0.1, 0.2, 0.3))
    assert mean_colour(config).tolist() == rgb
