"""Crossing vehicles, riders and people: where they stand, and that their labels fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dashseg.scenes.camera import Camera, View
from dashseg.scenes.canvas import MOVABLE, Canvas, colour
from dashseg.scenes.crowd import Rider, cross_traffic, paint_rider, place_riders
from dashseg.scenes.light import Light, sample_light
from dashseg.scenes.road import sample_road
from dashseg.scenes.varied import sample_varied_road
from dashseg.scenes.vehicle_shapes import SHAPES
from dashseg.scenes.vehicles import Vehicle, paint_vehicle

STRAIGHT = np.array([[0.0, 0.0], [3000.0, 0.0]])
VIEW = View(Camera(582, 437, 455.0, 291.0, 180.0, 1.25), STRAIGHT, STRAIGHT, 0.0)


def _light() -> Light:
    drawn = (sample_light(np.random.default_rng(n)) for n in range(100))
    return next(light for light in drawn if light.kind == "clear")


def _vehicle(yaw: float, kind: str = "sedan", z: float = 10.0) -> Vehicle:
    return Vehicle(kind, 0.0, z, 1, colour("c8402a"), False, False, colour("e8e8e2"), yaw)


def _seen(vehicle: Vehicle) -> np.ndarray:
    canvas = Canvas(437, 582)
    paint_vehicle(canvas, VIEW, _light(), vehicle)
    return canvas.label == MOVABLE


@pytest.mark.parametrize("kind", ["sedan", "rickshaw", "bus"])
def test_a_vehicle_across_the_road_looks_as_long_as_a_pinhole_camera_sees_it(kind: str) -> None:
    shape = SHAPES[kind]
    rows, columns = _seen(_vehicle(np.pi / 2, kind, 30.0)).nonzero()
    nearest = 30.0 + shape.length / 2 - shape.width / 2
    assert np.ptp(columns) + 1 == pytest.approx(455.0 * shape.length / nearest, rel=0.06)
    assert rows.max() + 1 == pytest.approx(180 + 455 * 1.25 / nearest, abs=2.5)


@pytest.mark.parametrize("yaw", [0.3, np.pi / 2, 2.5])
def test_turning_left_mirrors_turning_right(yaw: float) -> None:
    right, left = _seen(_vehicle(yaw)), _seen(_vehicle(-yaw))
    assert right.sum() > 3000
    assert (right != left[:, ::-1]).sum() < 0.02 * right.sum()


def test_half_a_turn_is_an_oncoming_vehicle() -> None:
    turned, oncoming = _seen(_vehicle(np.pi)), _seen(_vehicle(0.0)._replace(direction=-1))
    assert (turned != oncoming).sum() <= 0.01 * turned.sum()


@pytest.mark.parametrize("kind", ["motorcycle", "bicycle", "foot"])
@pytest.mark.parametrize("side", [0, 1, -1])
def test_a_rider_stands_on_the_road_as_tall_as_people_are(kind: str, side: int) -> None:
    canvas = Canvas(437, 582)
    before = canvas.rgb.copy()
    paint_rider(canvas, VIEW, _light(), Rider(0.5, 8.0, kind, side, 3))
    labelled = canvas.label == MOVABLE
    rows, columns = labelled.nonzero()
    assert 1.4 < np.ptp(rows) / 455 * 8 < 2.0
    assert rows.max() == pytest.approx(180 + 455 * 1.25 / 8, abs=5)
    assert columns.mean() == pytest.approx(291 + 455 * 0.5 / 8, abs=10)
    changed = np.abs(canvas.rgb - before).max(2) > 0
    assert (labelled <= changed).all() and changed.sum() < 1.5 * labelled.sum()


def test_no_one_stands_in_a_vehicle() -> None:
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        road = replace(sample_varied_road(rng), junction=(12.0, 20.0))
        traffic = cross_traffic(road, [_vehicle(0.0)], rng)
        for rider in place_riders(road, traffic, rng):
            for other in traffic:
                if not other.yaw:
                    inside = 0.0 < rider.z - other.z < SHAPES[other.kind].length
                    assert not (inside and abs(rider.x - other.x) < 0.9)
        found += sum(vehicle.yaw != 0 for vehicle in traffic)
    assert found > 20


def test_a_road_without_a_junction_has_no_crossing_traffic() -> None:
    road = next(
        road
        for n in range(50)
        if (road := sample_road(np.random.default_rng(n))).place == "highway"
    )
    traffic = [_vehicle(0.0)]
    assert cross_traffic(road, traffic, np.random.default_rng(1)) == traffic
