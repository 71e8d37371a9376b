"""How bright a frame is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dashseg.curate.brightness import brightness_group, luminance


@pytest.mark.parametrize(
    ("colour", "expected"),
    [((255, 0, 0), 76.245), ((0, 255, 0), 149.685), ((0, 0, 255), 29.07), ((9, 9, 9), 9)],
)
def test_luminance_is_the_luma_of_bt_601(colour: Any, expected: float) -> None:
    image = np.full((4, 6, 3), colour, np.uint8)
    assert luminance(image) == pytest.approx(expected, abs=0.5)  # of whole grey levels


@pytest.mark.parametrize(
    ("luma", "group"), [(0, "night"), (19.4, "night"), (40, "dusk"), (49.5, "day"), (255, "day")]
)
def test_groups_follow_comma10ks_own_exposure(luma: float, group: str) -> None:
    assert brightness_group(luma) == group


def test_every_luminance_has_exactly_one_group() -> None:
    groups = [brightness_group(luma) for luma in np.linspace(0, 255, 1021)]
    assert [g for i, g in enumerate(groups) if i == 0 or g != groups[i - 1]] == [
        "night",
        "dusk",
        "day",
    ]
