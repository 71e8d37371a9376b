"""Varied scenes: repeatable, and labelled as exactly as plain ones."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dashseg.data.synthetic import open_scenes
from dashseg.errors import InputError
from dashseg.scenes import render_scene
from dashseg.scenes.camera import Camera, View
from dashseg.scenes.canvas import MARKING, MY_CAR, ROAD, UNDRIVABLE, Canvas
from dashseg.scenes.ground import paint_ground
from dashseg.scenes.light import Light, sample_light
from dashseg.scenes.road import Band, Lane, Line, Mark, Road, Shade
from dashseg.scenes.varied import roughen, sample_varied_road

SMALL = (219, 291)
STRAIGHT = np.array([[0.0, 0.0], [3000.0, 0.0]])
ROWS = np.arange(95, 219)  # below the horizon of `_painted`'s camera, whose eye is at 1.25 m
Z = (227.5 * 1.25 / (ROWS + 0.5 - 90.0))[:, None]
X = (np.arange(291) + 0.5 - 145.5)[None, :] * Z / 227.5


def _light() -> Light:
    drawn = (sample_light(np.random.default_rng(n)) for n in range(100))
    return next(light for light in drawn if light.kind == "clear")


def _painted(road: Road, light: Light | None = None) -> Canvas:
    view = View(Camera(291, 219, 227.5, 145.5, 90.0, 1.25), STRAIGHT, STRAIGHT, 0.0)
    canvas = Canvas(219, 291)
    paint_ground(canvas, view, road, light or _light(), [], 219, np.random.default_rng(0))
    return canvas


PLAIN = Road(
    "country", 0.0, (Lane(0.0, 3.5, 1),), (), (Band(-4.0, 4.0, "asphalt", True),), (), "grass",
    0.0, 0.0, 0.0, 0.0,
)  # fmt: skip


def test_the_same_seed_and_index_give_the_same_bytes_and_no_plain_scene() -> None:
    first, again = (render_scene(3, 4, SMALL, varied=True) for _ in range(2))
    assert first.image.tobytes() == again.image.tobytes()
    assert first.label.tobytes() == again.label.tobytes()
    plain = render_scene(3, 4, SMALL)
    assert first.name == plain.name and not np.array_equal(first.label, plain.label)


def test_they_show_every_class_and_bonnets_in_some() -> None:
    labels = [render_scene(8, index, SMALL, varied=True).label for index in range(16)]
    assert {int(value) for label in labels for value in np.unique(label)} == {0, 1, 2, 3, 4}
    bonnets = sum(bool((label == MY_CAR).any()) for label in labels)
    assert 2 <= bonnets <= 12


@pytest.mark.parametrize("slope", [0.0, 0.5, -0.3])
def test_a_mark_is_labelled_where_a_pinhole_camera_sees_it(slope: float) -> None:
    mark = Mark(0.6, 1.2, 5.0, 9.0, slope, False)
    label = _painted(replace(PLAIN, marks=(mark,))).label[ROWS]
    left = mark.left + slope * (Z - mark.near)
    inside = (Z >= 5.0) & (Z < 9.0) & (left <= X) & (left + 0.6 > X)
    assert inside.sum() > 500
    assert ((label == MARKING) != inside).sum() <= 2  # centres that fall on an edge


def test_a_junction_is_road_beside_the_road_and_interrupts_lines() -> None:
    bands = (Band(-9.0, 9.0, "pavement", False), *PLAIN.bands)
    road = replace(PLAIN, bands=bands, lines=(Line(0.0, 0.4, True),), junction=(6.0, 12.0))
    label = _painted(road).label[ROWS]
    across = (Z >= 6.0) & (Z < 12.0)
    expected = np.where((np.abs(X) < 4) | (across & (np.abs(X) < 9)), ROAD, UNDRIVABLE)
    wide_enough = 0.4 * 227.5 / Z >= 0.7
    expected = np.where((np.abs(X) < 0.2) & ~across & wide_enough, MARKING, expected)
    assert (label != expected).sum() <= 4


def test_paint_that_has_gone_is_gone_from_picture_and_label() -> None:
    lines = (Line(-1.5, 0.5, False), Line(1.5, 0.5, False))
    bare, whole = _painted(replace(PLAIN, missing=0.8)), _painted(replace(PLAIN, lines=lines))
    worn = _painted(replace(PLAIN, lines=lines, missing=0.8))
    marked, left = whole.label == MARKING, worn.label == MARKING
    assert (left <= marked).all() and 0.2 < left.sum() / marked.sum() < 0.95
    gone = cv2.erode((marked & ~left).astype(np.uint8), np.ones((3, 3))) > 0
    assert gone.sum() > 50
    assert np.array_equal(worn.rgb[gone], bare.rgb[gone])
    assert (worn.rgb[left] > bare.rgb[left]).all()  # white paint on dark asphalt


def test_a_shadow_darkens_its_ground_alone() -> None:
    light = replace(_light(), headlights=0.0)
    bright = _painted(PLAIN, light).rgb[ROWS]
    shade = Shade(-2.0, 2.0, 5.0, 8.0, 0.0, 0.8)
    dark = _painted(replace(PLAIN, shades=(shade,)), light).rgb[ROWS]
    inside = (Z > 5.1) & (Z < 7.9) & (np.abs(X) < 1.9)
    outside = (Z < 4.9) | (Z > 8.2) | (np.abs(X) > 2.1)
    assert (dark[inside] < 0.8 * bright[inside]).all()
    assert np.array_equal(dark[outside], bright[outside])


def test_what_stands_beside_the_road_gets_detail_and_the_ground_none() -> None:
    canvas = Canvas(60, 80)
    canvas.rgb[:] = 0.5
    ground = np.full((60, 80), 9.0, np.float32)
    canvas.depth[:] = ground
    canvas.depth[:20, :20] = 4.0  # a wall
    roughen(canvas, ground, np.random.default_rng(2))
    changed = (canvas.rgb != 0.5).any(2)
    assert changed[:20, :20].mean() > 0.9 and changed.sum() <= 400


def test_roads_differ() -> None:
    roads = [sample_varied_road(np.random.default_rng(n)) for n in range(200)]
    assert {road.place for road in roads} == {"highway", "country", "suburb", "city"}
    assert any(not road.lines and not road.marks for road in roads)
    assert any(road.junction for road in roads) and any(road.shades for road in roads)
    centre = [line.yellow for road in roads for line in road.lines if abs(line.x) < 0.2]
    assert 0.1 < np.mean(centre) < 0.9


def test_a_data_set_of_them_is_asked_for_by_name() -> None:
    varied, plain = open_scenes("synthetic:2:7:varied"), open_scenes("synthetic:2:7")
    assert varied.names == plain.names and varied.fingerprint() != plain.fingerprint()
    assert np.array_equal(varied.label(1), render_scene(7, 1, varied=True).label)
    with pytest.raises(InputError, match="SEED:varied"):
        open_scenes("synthetic:2:varied")
