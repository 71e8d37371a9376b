"""One grid moves image and label; where it leads beyond the frame, the label is ignored."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dashseg.config import AugmentConfig
from dashseg.training.augment.draws import Draws
from dashseg.training.augment.geometry import draw_geometry

SIZE = 90, 130
EVERYTHING = {"flip": 0.5, "scale": (0.5, 2.0), "rotate": 10}
DISTORTIONS = {
    "elastic": {"share": 1.0, "grid": 0.0, "optical": 0.0},
    "grid": {"share": 1.0, "elastic": 0.0, "optical": 0.0},
    "optical": {"share": 1.0, "elastic": 0.0, "grid": 0.0},
    "any": {"share": 1.0},
}


def coordinates(count: int) -> tuple[Tensor, Tensor]:
    """An image whose channels are x, y and 0, and a label that numbers the pixels."""
    y, x = torch.meshgrid(*(torch.arange(float(side)) for side in SIZE), indexing="ij")
    image = torch.stack([x, y, torch.zeros(SIZE)]).expand(count, -1, -1, -1)
    return image, (y * SIZE[1] + x).long().expand(count, -1, -1)


def moved(settings: dict[str, Any], count: int = 16, seed: int = 0) -> tuple[Tensor, ...]:
    """x, y (B, h, w) of the frame that each pixel shows, its number, and what lies beyond."""
    image, label = coordinates(count)
    config = AugmentConfig.model_validate(settings)
    draws = Draws.of_batch((seed,), range(count))
    geometry = draw_geometry(SIZE, config, draws, image.device)
    image, label, beyond = geometry.warp(image, label)
    assert beyond is not None
    return image[:, 0], image[:, 1], label, beyond


@pytest.mark.parametrize("way", DISTORTIONS)
@pytest.mark.parametrize("crop", [SIZE, (64, 64), (100, 150)])
def test_image_and_label_are_sampled_at_the_same_places(way: str, crop: tuple[int, int]) -> None:
    x, y, number, beyond = moved({**EVERYTHING, "crop": crop, "distort": DISTORTIONS[way]})
    assert x.shape == (16, *crop)
    assert 0 < beyond.float().mean() < 0.8
    assert (number[beyond] == 255).all()
    edge = (x - x.floor() - 0.5).abs().minimum((y - y.floor() - 0.5).abs()) < 1e-3
    sure = ~beyond & ~edge  # half-way between two pixels either is the nearest
    want = y.round() * SIZE[1] + x.round()
    assert torch.equal(number[sure], want[sure].long())


def test_scale_rotation_and_flip_are_the_recipes() -> None:
    x, y, _, _ = moved({"flip": 0.5, "scale": (1.5, 1.5), "rotate": 10}, 64)
    # Along a row of the crop, the frame is walked in steps of 1 / scale, at the angle.
    dx, dy = x[:, 45, 65] - x[:, 45, 64], y[:, 45, 65] - y[:, 45, 64]
    assert torch.allclose(torch.hypot(dx, dy), torch.tensor(1 / 1.5), atol=1e-4)
    angles = torch.atan2(dy, dx.abs()).rad2deg().abs()
    assert angles.max() <= 10.01 and angles.max() > 8
    assert 16 < int((dx < 0).sum()) < 48


@pytest.mark.parametrize("way", DISTORTIONS)
def test_distortions_do_not_fold_the_frame(way: str) -> None:
    x, y, _, beyond = moved({"distort": DISTORTIONS[way]}, 64)
    inside = ~beyond[:, 1:, 1:] & ~beyond[:, :-1, 1:] & ~beyond[:, 1:, :-1]
    dx = (x[:, 1:, 1:] - x[:, 1:, :-1], y[:, 1:, 1:] - y[:, 1:, :-1])
    dy = (x[:, 1:, 1:] - x[:, :-1, 1:], y[:, 1:, 1:] - y[:, :-1, 1:])
    area = dx[0] * dy[1] - dx[1] * dy[0]  # of the frame that a pixel shows
    assert area[inside].min() > 0
    assert (area[inside] - 1).abs().mean() > 0.02  # it does distort


def test_distortions_are_as_strong_as_the_recipe_says() -> None:
    base_x, base_y = coordinates(64)[0][:, 0], coordinates(64)[0][:, 1]
    x, y, _, beyond = moved({"distort": {**DISTORTIONS["elastic"], "elastic": 0.05}}, 64)
    shift = torch.hypot(x - base_x, y - base_y)[~beyond] / SIZE[0]
    assert 0.02 < shift.max() < 0.05 * math.sqrt(2) * 1.3  # bicubic overshoots its nodes a little
    x, _, _, beyond = moved({"distort": {**DISTORTIONS["optical"], "optical": 0.1}}, 64)
    middle = SIZE[0] // 2
    assert (x[:, middle, 65] - base_x[:, middle, 65]).abs().max() < 0.02  # the centre stays
    corner = (x[:, 1, 1] - base_x[:, 1, 1])[~beyond[:, 1, 1]].max() / (SIZE[1] / 2)
    assert 0.06 < corner <= 0.1


def test_the_undistorted_share_does_not_change() -> None:
    x, y, _, _ = moved({"distort": {"share": 0.5}}, 200)
    base = coordinates(200)[0]
    same = ((x - base[:, 0]).abs() < 1e-2).flatten(1).all(1)
    assert 60 < int(same.sum()) < 140
    assert torch.allclose(y[same], base[same, 1], atol=1e-2)


def test_padding_never_becomes_a_class() -> None:
    image, label = torch.rand(8, 3, *SIZE), torch.ones(8, *SIZE, dtype=torch.long)
    config = AugmentConfig.model_validate({**EVERYTHING, "distort": {"share": 1.0}})
    geometry = draw_geometry(SIZE, config, Draws.of_batch((1,), range(8)), image.device)
    _, ids, beyond = geometry.warp(image, label)
    assert beyond is not None
    assert set(ids.unique().tolist()) == {1, 255}
    assert torch.equal(ids == 255, beyond)
