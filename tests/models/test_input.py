from typing import Literal

import pytest
import torch

from dashseg.config import InputConfig
from dashseg.models.input import Normalise, mean_colour, to_batch


@pytest.mark.parametrize(("channels", "rgb"), [("rgb", [26, 51, 76]), ("bgr", [76, 51, 26])])
def test_the_mean_colour_is_rgb_for_a_bgr_network_too(
    channels: Literal["rgb", "bgr"], rgb: list[int]
) -> None:
    config = InputConfig(channels=channels, mean=(0.1, 0.2, 0.3))
    assert mean_colour(config).tolist() == rgb


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_rows_are_normalised_as_planes_are(channels: Literal["rgb", "bgr"]) -> None:
    normalise = Normalise(InputConfig(channels=channels, mean=(0.1, 0.2, 0.3), std=(0.2, 0.3, 0.4)))
    frames = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8)
    assert torch.equal(normalise.in_rows(frames), normalise(to_batch(frames)))
