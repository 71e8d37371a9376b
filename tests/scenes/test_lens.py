"""Cameras of varied scenes: what they change of a picture, and that the label fits it."""

from __future__ import annotations

import numpy as np
import pytest

from dashseg.scenes import render_scene
from dashseg.scenes.canvas import MY_CAR
from dashseg.scenes.lens import Mounting, finish, sample_camera

SMALL = (219, 291)


def test_cameras_see_40_to_120_degrees_from_1_to_2_and_a_half_metres() -> None:
    drawn = [sample_camera(np.random.default_rng(n), (600, 800))[0] for n in range(300)]
    across = np.rad2deg([2 * np.arctan(camera.width / 2 / camera.focal) for camera in drawn])
    assert across.min() >= 40 and across.max() <= 120 and np.ptp(across) > 60
    assert all(1.0 <= camera.eye <= 2.5 for camera in drawn)


def test_cameras_pictures_have_four_shapes_and_as_many_pixels() -> None:
    drawn = [sample_camera(np.random.default_rng(n), (600, 800))[0] for n in range(100)]
    assert {round(camera.width / camera.height, 1) for camera in drawn} == {1.3, 1.5, 1.8, 1.9}
    assert all(abs(camera.width * camera.height - 480_000) < 2000 for camera in drawn)


def test_a_wide_picture_is_squeezed_with_its_label() -> None:
    label = np.zeros((60, 120), np.uint8)
    label[:, 30:60] = 3
    image = np.repeat((label * 60)[..., None], 3, 2)
    squeezed, moved = finish(image, label, Mounting(), (60, 80))
    assert squeezed.shape == (60, 80, 3) and (moved[:, 20:40] == 3).all()
    assert (moved == 3).sum() == 60 * 20
    assert np.array_equal(squeezed[..., 0] > 90, moved == 3)


def test_rolling_moves_picture_and_label_alike_and_leaves_no_empty_corner() -> None:
    label = np.where(np.add.outer(np.arange(219), np.arange(291)) % 80 < 40, 1, 2).astype(np.uint8)
    image = np.repeat((label * 100)[..., None], 3, 2)
    turned, moved = finish(image, label, Mounting(roll=3.0))
    assert turned.shape == image.shape and moved.shape == label.shape
    assert set(np.unique(moved)) == {1, 2} and turned.min() >= 99  # interpolated
    assert ((turned[..., 0] > 150) == (moved == 2)).mean() > 0.99  # but for edges


def test_jpeg_changes_the_picture_a_little_and_the_label_not_at_all() -> None:
    scene = render_scene(1, 0, SMALL)
    image, label = finish(scene.image, scene.label, Mounting(quality=60))
    assert np.array_equal(label, scene.label)
    error = np.abs(image.astype(int) - scene.image)
    assert 0 < error.mean() < 8


SHADES = ((0.3, 0.0, 0.0), (0.0, 0.0, 0.0), (-0.3, 0.0, 0.0))


@pytest.mark.parametrize(
    "mounting",
    [
        Mounting(detail=0.4),
        Mounting(sharpen=1.5),
        Mounting(contrast=0.8, black=0.1),
        Mounting(shading=SHADES),
        Mounting(veil=0.3, seed=4),
    ],
)
def test_lens_sensor_and_codec_change_colours_alone(mounting: Mounting) -> None:
    scene = render_scene(1, 0, SMALL)
    image, label = finish(scene.image, scene.label, mounting)
    assert np.array_equal(label, scene.label) and image.shape == scene.image.shape
    assert image.dtype == np.uint8 and not np.array_equal(image, scene.image)
    # Nothing moves: the picture still correlates best with the old one where it was.
    before, after = (x[..., 1] - x[..., 1].mean() for x in (scene.image.astype(float), image))
    shifts = {dx: float((before * np.roll(after, dx, 1)).mean()) for dx in range(-3, 4)}
    assert max(shifts, key=lambda dx: shifts[dx]) == 0


def test_shading_colours_one_side_red_and_the_other_blue() -> None:
    grey = np.full((64, 96, 3), 100, np.uint8)
    image, _ = finish(grey, np.zeros((64, 96), np.uint8), Mounting(shading=SHADES))
    assert image[30, 90].tolist() == pytest.approx([127, 100, 73], abs=4)
    assert image[30, 5].tolist() == pytest.approx([73, 100, 127], abs=4)


@pytest.mark.parametrize("pillar", [0.1, -0.1])
def test_the_windscreens_frame_is_my_car_and_dark(pillar: float) -> None:
    image = np.full((100, 200, 3), 200, np.uint8)
    frame, label = finish(image, np.zeros((100, 200), np.uint8), Mounting(pillar=pillar, visor=0.1))
    assert {0, MY_CAR} == set(np.unique(label).tolist())
    assert (frame[label == MY_CAR] < 40).all() and (frame[label == 0] == 200).all()
    side = 199 if pillar > 0 else 0
    assert label[99, side] == MY_CAR and label[99, 199 - side] == 0 and label[0, 100] == MY_CAR


def test_the_default_mounting_changes_nothing() -> None:
    scene = render_scene(1, 0, SMALL)
    image, label = finish(scene.image, scene.label, Mounting())
    assert np.array_equal(image, scene.image) and np.array_equal(label, scene.label)
