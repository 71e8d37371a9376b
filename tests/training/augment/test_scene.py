"""What the label's geometry tells, on scenes whose geometry is known because they are made here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dashseg.data.camvid import CAMVID11
from dashseg.labels import COMMA10K
from dashseg.training.augment.scene import Role, Scene, read_scene, role_table

ROAD, UNDRIVABLE, MOVABLE, MY_CAR = 0, 2, 3, 4
SIZE = 200, 240  # at 240 columns nothing is shrunk


def straight_road(horizon: int = 80, bonnet: int = 180) -> Tensor:
    """int64 (1, H, W): a road that narrows towards the middle of row `horizon`, and a bonnet."""
    label = np.full(SIZE, UNDRIVABLE)
    for row in range(horizon, SIZE[0]):
        half = (row - horizon + 3) * 100 // (SIZE[0] - horizon)
        label[row, 120 - half : 120 + half] = ROAD
    label[bonnet:] = MY_CAR
    return torch.from_numpy(label)[None]


def read(label: Tensor, light: Tensor | None = None) -> Scene:
    grey = torch.full((len(label), 3, *label.shape[1:]), 0.1)
    return read_scene(grey if light is None else light, label, role_table(COMMA10K), False)


def test_roles_follow_the_names_of_classes() -> None:
    roles = role_table(COMMA10K)
    assert [Role(int(r)).name for r in roles[:6]] == [
        "ROAD", "PAINT", "OTHER", "VEHICLE", "CABIN", "OTHER"
    ]  # fmt: skip
    assert roles[255] == Role.OTHER
    by_name = dict(zip(CAMVID11.names, role_table(CAMVID11), strict=False))
    assert by_name["sky"] == Role.SKY
    assert by_name["pedestrian"] == by_name["bicyclist"] == Role.PERSON
    assert by_name["tree"] == Role.OTHER


def test_a_merged_label_has_the_role_that_its_classes_share() -> None:
    roles = role_table(COMMA10K, groups=((0, 1), (0, 2), (3,)))[5:9]
    assert [Role(int(r)).name for r in roles] == ["ROAD", "OTHER", "VEHICLE", "OTHER"]


@pytest.mark.parametrize("horizon", [60, 80, 110])
def test_the_horizon_is_where_the_road_ends_and_ahead_is_where_it_goes(horizon: int) -> None:
    label = torch.cat([straight_road(horizon), straight_road(horizon).roll(24, 2)])
    scene = read(label)
    assert scene.horizon.tolist() == pytest.approx([horizon / 200] * 2, abs=0.02)
    assert scene.ahead.tolist() == pytest.approx([0.5, 0.6], abs=0.02)


def test_a_frame_without_road_has_the_usual_horizon() -> None:
    scene = read(torch.full((1, *SIZE), 255))
    assert scene.horizon.item() == pytest.approx(0.48)
    assert scene.ahead.item() == 0.5
    assert scene.depth.isfinite().all()


def test_the_road_is_as_far_as_a_pinhole_camera_says() -> None:
    scene = read(straight_road())
    horizon = float(scene.horizon) * 200
    for row in (100, 130, 170):
        metres = 1.22 * (910 / 874 * 200) / (row + 0.5 - horizon)  # height × focal / rows below
        assert float(scene.depth[0, row, 120]) == pytest.approx(metres, rel=0.01)
        # A metre aside is as many columns as a metre up is rows.
        column = 120 + round(910 / 874 * 200 / metres)
        assert float(scene.sideways[0, row, column]) == pytest.approx(1.0, abs=0.1)
        assert float(scene.height[0, row, 120]) == pytest.approx(0, abs=0.02)


def test_a_vehicle_is_as_far_as_the_road_at_its_wheels() -> None:
    label = straight_road()
    label[0, 60:120, 100:140] = MOVABLE
    scene = read(label)
    vehicle, wheels = scene.depth[0, 60:120, 100:140], scene.depth[0, 120, 100:140]
    assert torch.allclose(vehicle, wheels.expand(60, -1))
    assert float(scene.height[0, 60, 120]) > 0.5


def test_the_sky_is_bright_or_blue_and_reaches_the_top() -> None:
    light = torch.full((2, 3, *SIZE), 0.1)
    light[0, :, :60] = 0.8  # overcast
    light[1, :, :60] = torch.tensor([0.03, 0.06, 0.2]).view(3, 1, 1)  # comma's deep blue
    light[:, :, 30:60, :80] = 0.02  # trees
    light[:, :, 62:75, 200:] = 0.5  # a bright wall, with trees above it
    light[:, :, 50:62, 200:] = 0.02
    sky = read(straight_road().expand(2, -1, -1), light).sky
    assert sky[:, :25].min() > 0.8
    assert sky[:, 32:58, 5:75].max() < 0.1
    assert sky[:, 65:, 210:].max() < 0.1
    assert sky[:, 65:, :190].max() < 0.1
    label = straight_road()
    label[0, :25] = MOVABLE  # a lorry beside us
    assert read(label, light[:1]).sky[0, :20].max() < 0.05


def test_the_sky_below_a_treetop_is_found_and_a_facade_beside_it_is_not_sky() -> None:
    light = torch.full((1, 3, *SIZE), 0.1)
    light[..., :60, :] = 0.8
    light[..., :30, 190:] = 0.02  # a crown that reaches the top edge and the right one
    light[..., 8:78, :60] = 0.02  # a roof, and below it a front as bright as the sky
    light[..., 20:78, :60] = 0.8
    light[..., 22:78:8, :60] = 0.1  # with rows of windows
    light[..., 23:78:8, :60] = 0.1
    sky = read(straight_road(), light).sky
    assert sky[0, 35:55, 195:].min() > 0.7
    assert sky[0, :28, 195:].max() < 0.1
    assert sky[0, 24:75, 5:55].max() < 0.1


def test_a_labelled_sky_is_used() -> None:
    label = torch.full((1, *SIZE), CAMVID11.names.index("tree"))
    label[0, :50, :100] = CAMVID11.names.index("sky")
    scene = read_scene(torch.rand(1, 3, *SIZE), label, role_table(CAMVID11), True)
    assert torch.equal(scene.sky[0] == 1, label[0] == CAMVID11.names.index("sky"))
