"""Whole segments, routes or devices are held out, near the share asked for, with like classes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from dashseg.curate.split import choose
from dashseg.errors import InputError


def name(device: int, route: int, segment: int, frame: int) -> str:
    return f"0000_{device:016x}_2018-07-{route:02}--10-11-12_{segment}_{frame}"


def key(name: str, by: str) -> str:
    """Read off the name's fields, counted from the left."""
    fields = name.split("_")
    return "_".join(fields[1 : {"device": 2, "route": 3, "segment": 4}[by]])


NAMES = [
    name(device, 1 + device % 3 + route, segment, frame)
    for device in range(12)
    for route in range(1 + device % 4)
    for segment in range(1 + (device + route) % 5)
    for frame in range(3 + (7 * device + segment) % 9)
]
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 1000, (len(NAMES), 5))


@pytest.mark.parametrize("by", ["segment", "route", "device"])
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_groups_stay_whole_and_their_frames_come_near_the_share(by: Any, share: float) -> None:
    held_out = choose(NAMES, PIXELS, by, share, 0)
    sides = [
        {key(name, by) for name, out in zip(NAMES, held_out, strict=True) if out == side}
        for side in (False, True)
    ]
    assert sides[0] and sides[1] and not sides[0] & sides[1]
    smallest = min(Counter(key(name, by) for name in NAMES).values())
    assert abs(held_out.sum() - share * len(NAMES)) <= max(smallest, 0.05 * len(NAMES))


def test_a_seed_makes_one_split_and_another_seed_another() -> None:
    splits = [choose(NAMES, PIXELS, "segment", 0.2, seed) for seed in (0, 0, 1)]
    assert (splits[0] == splits[1]).all() and (splits[0] != splits[2]).any()


def test_of_groups_alike_in_size_those_are_taken_that_have_the_classes_of_the_rest() -> None:
    names = [name(device, 1, 1, frame) for device in range(10) for frame in range(10)]
    pixels = np.zeros((100, 2), int)
    for device in range(10):
        rare = 50 if device in (3, 6) else (0, 100)[device % 2]
        pixels[10 * device : 10 * device + 10] = rare, 100 - rare
    for seed in range(5):
        held_out = choose(names, pixels, "device", 0.1, seed)
        assert held_out.sum() == 10 and held_out.nonzero()[0][0] // 10 in (3, 6)


def test_a_name_of_no_known_form_is_a_group_of_its_own() -> None:
    names = [f"scene_{number}" for number in range(20)] + NAMES
    pixels = RNG.integers(0, 1000, (len(names), 5))
    held_out = choose(names, pixels, "device", 0.3, 0)
    assert 0 < held_out[:20].sum() < 20
    assert choose(["a", "b", "c", "d"], np.ones((4, 1), int), "route", 0.25, 0).sum() == 1


def test_both_cameras_of_a_pair_stay_together() -> None:
    pairs = [
        f"{number:04}_{camera}_{number:016x}_2018-07-01--10-11-12_1_1"
        for number in range(20)
        for camera in "ef"
    ]
    held_out = choose(pairs, np.ones((40, 1), int), "segment", 0.2, 0)
    assert held_out.sum() == 8 and (held_out[::2] == held_out[1::2]).all()


def test_where_every_group_is_large_the_smallest_is_held_out() -> None:
    names = [f"0016E5_{number:05}" for number in range(30)]
    names += [f"0006R0_f{number:05}" for number in range(12)]
    held_out = choose(names, np.ones((42, 1), int), "segment", 0.1, 0)
    assert held_out.tolist() == [False] * 30 + [True] * 12


def test_what_cannot_be_split_is_an_error() -> None:
    one = [name(1, 1, 1, frame) for frame in range(5)]
    with pytest.raises(InputError, match="all 5 frames are of one device"):
        choose(one, np.ones((5, 1), int), "device", 0.1, 0)
    for share in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(InputError, match="above 0 and below 1"):
            choose(NAMES, PIXELS, "device", share, 0)
