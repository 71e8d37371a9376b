"""Night, rain and fog change the light as physics has it, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dashseg.config import AugmentConfig
from dashseg.data.camvid import CAMVID11
from dashseg.images import resize_image
from dashseg.labels import COMMA10K, Classes
from dashseg.scenes import render_scene
from dashseg.shrink import shrink_label
from dashseg.training.augment.draws import Draws
from dashseg.training.augment.weather import Weather

SIZE = 220, 292
DAYLIGHT = (1, 3, 4, 9, 11)  # scenes of seed 5 that are bright
NIGHT = {"share": 1.0, "darkness": (1.0, 1.0), "street_lamps": 0.0, "exposure": (1.0, 1.0)}
WEATHERS = {
    "night": {"night": {"share": 1.0}},
    "rain": {"rain": {"share": 1.0}},
    "fog": {"fog": {"share": 1.0}},
    "rainy night": {"night": {"share": 1.0}, "rain": {"share": 1.0}},
    "foggy night": {"night": {"share": 1.0}, "fog": {"share": 1.0}},
}


@pytest.fixture(scope="module")
def scenes() -> tuple[Tensor, Tensor]:
    drawn = [render_scene(5, index) for index in DAYLIGHT]
    image = np.stack([resize_image(s.image, SIZE) for s in drawn])
    label = np.stack([shrink_label(s.label, SIZE) for s in drawn])
    return torch.from_numpy(image).permute(0, 3, 1, 2) / 255, torch.from_numpy(label).long()


def change(
    image: Tensor, label: Tensor, settings: dict[str, Any], seed: int = 0,
    classes: Classes = COMMA10K,
) -> Tensor:  # fmt: skip
    weather = Weather(AugmentConfig.model_validate(settings), classes)
    return weather(image, label, Draws.of_batch((seed,), range(len(image))))


def grey_road(horizon: int = 80) -> tuple[Tensor, Tensor]:
    """A grey frame of 200×240 with a road from row `horizon` down and a bonnet from row 180."""
    label = torch.full((1, 200, 240), 2)
    label[:, horizon:] = 0
    label[:, 180:] = 4
    return torch.full((1, 3, 200, 240), 0.4), label


@pytest.mark.parametrize("weather", WEATHERS)
def test_only_the_seed_decides_and_the_label_does_not_change(
    weather: str, scenes: tuple[Tensor, Tensor]
) -> None:
    image, label = scenes
    before = image.clone(), label.clone()
    torch.manual_seed(1)
    first = change(image, label, WEATHERS[weather], 3)
    torch.manual_seed(2)
    again = change(image, label, WEATHERS[weather], 3)
    assert torch.equal(first, again)
    assert not torch.equal(first, change(image, label, WEATHERS[weather], 4))
    assert torch.equal(image, before[0]) and torch.equal(label, before[1])
    assert first.shape == image.shape and first.min() >= 0 and first.max() <= 1
    assert all((first[i] - image[i]).abs().mean() > 0.01 for i in range(len(image)))


@pytest.mark.parametrize("weather", WEATHERS)
@pytest.mark.parametrize("fill", [2, 255])
def test_frames_without_a_road_or_without_light_stay_finite(weather: str, fill: int) -> None:
    image = torch.stack([torch.zeros(3, 33, 47), torch.ones(3, 33, 47)])
    ours = change(image, torch.full((2, 33, 47), fill), WEATHERS[weather])
    assert ours.isfinite().all()


def test_only_a_share_of_the_frames_changes() -> None:
    image, label = grey_road()
    image, label = image[..., :64, :64].repeat(300, 1, 1, 1), label[:, :64, :64].repeat(300, 1, 1)
    settings = {"night": {"share": 0.2}, "rain": {"share": 0.1}, "fog": {"share": 0.3}}
    ours = change(image, label, settings)
    changed = (ours != image).flatten(1).any(1)
    assert int(changed.sum()) == pytest.approx(300 * (1 - 0.8 * 0.6), abs=35)
    assert torch.equal(change(image, label, {}), image)


def test_night_is_dark_except_for_the_road_in_the_headlamps(
    scenes: tuple[Tensor, Tensor],
) -> None:
    image, label = scenes
    ours = change(image, label, {"night": NIGHT}).mean(1)
    above, day = ours[:, :60].mean((1, 2)), image[:, :, :60].mean((1, 2, 3))  # skies and crowns
    assert (above < 0.6 * day).all() and ours.mean() < 0.2
    image, label = grey_road()
    label[:, 100:, :80] = 2  # beside the road
    ours = change(image, label, {"night": NIGHT}).mean(1)[0].square()  # linear light
    ahead, bonnet = ours[120:140, 110:130].mean(), ours[185:].mean()
    far, sky, beside = ours[83:88, 110:130].mean(), ours[:60].mean(), ours[120:140, :20].mean()
    assert ahead > 1.4 * max(far, sky, beside, bonnet)


def test_dusk_is_darker_on_the_ground_and_keeps_its_sky() -> None:
    image, label = grey_road()
    image[:, :, :70] = 0.8
    dusk = {"share": 1.0, "darkness": (0.1, 0.1), "exposure": (1.0, 1.0)}
    ours = change(image, label, {"night": dusk}).mean(1)[0]
    assert ours[100:170].mean() < 0.8 * 0.4
    assert ours[20:60].mean() > 1.5 * ours[100:170].mean()


def test_vehicle_lamps_are_low_and_at_both_sides() -> None:
    image, label = grey_road()
    label[:, 78:118, 90:134] = 3  # 44 wide, as far as its wheels at row 118
    settings = {**NIGHT, "vehicle_lamps": 1.0}
    with_lamps = change(image, label, {"night": settings})
    without = change(image, label, {"night": {**settings, "vehicle_lamps": 0.0}})
    red = (with_lamps - without)[0, 0]
    spots = red > 0.6 * red.max()
    rows, columns = spots.nonzero().T
    assert red.max() > 0.2
    assert rows.min() > 78 + 8 and rows.max() < 118 - 8
    left, right = columns[columns < 112], columns[columns >= 112]
    assert len(left) and len(right)
    assert left.max() < 90 + 12 and right.min() > 134 - 13


def test_people_have_no_lamps() -> None:
    image, label = grey_road()
    label[:, 70:118, 105:120] = 3  # as a person: thrice as tall as wide
    settings = {**NIGHT, "vehicle_lamps": 1.0}
    lit = change(image, label, {"night": settings})
    assert torch.equal(lit, change(image, label, {"night": {**settings, "vehicle_lamps": 0.0}}))


def test_night_frames_do_not_change() -> None:
    image, label = grey_road()
    assert torch.equal(change(image * 0.3, label, {"night": NIGHT}), image * 0.3)


def test_fog_lowers_contrast_by_koschmieders_law() -> None:
    """Two frames that differ by a constant: the fog's share of the difference is the distance's."""
    image, label = grey_road()
    other = image.clone()
    other[..., 90:, 120] = 0.42  # one column: too little to change the fog's own light
    fog = {"fog": {"share": 1.0, "visibility": (60.0, 60.0)}}
    a, b = (change(x, label, fog).double().square() for x in (image, other))
    kept = ((b - a) / (0.42**2 - 0.4**2))[0, 1]
    horizon = 80 / 200 + 0.5 / 200 - 0.015
    for row in (100, 120, 160):
        metres = 1.22 * 910 / 874 / ((row + 0.5) / 200 - horizon)
        assert float(kept[row, 120]) == pytest.approx(
            math.exp(math.log(0.05) * metres / 60), abs=0.03
        )
    assert torch.allclose(a[..., 190:, :], image[..., 190:, :].double() ** 2, atol=1e-3)


def test_a_wet_road_mirrors_what_is_above_it() -> None:
    image, label = grey_road()
    image[:, :, 60:80, 100:140] = torch.tensor([0.9, 0.1, 0.1]).view(3, 1, 1)  # a red wall
    settings = {"share": 1.0, "wetness": (1.0, 1.0), "drops": 0, "visibility": (1e4, 1e4)}
    ours = change(image, label, {"rain": settings})[0]
    red = ours[0] - ours[2]
    assert red[84:95, 110:130].mean() > 0.05
    assert red[84:95, :60].abs().mean() < 0.01


def test_a_labelled_sky_turns_dark() -> None:
    label = torch.full((1, 100, 120), CAMVID11.names.index("road"))
    label[:, :45] = CAMVID11.names.index("sky")
    image = torch.full((1, 3, 100, 120), 0.4)  # no brighter than the road
    ours = change(image, label, {"night": NIGHT}, classes=CAMVID11)
    assert ours[:, :, :30].mean() < 0.15
