from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Generator

from dashseg.config import AugmentConfig
from dashseg.training.augment import Augment

MEAN = (0.485, 0.456, 0.406)


def _generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def _frames(count: int = 3, size: tuple[int, int] = (40, 56)) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames whose red channel is 50 × class id, in blocks that survive resampling."""
    rng = np.random.default_rng(1)
    blocks = rng.integers(0, 5, (count, size[0] // 8, size[1] // 8))
    label = np.kron(blocks, np.ones((8, 8), int))
    image = np.repeat((50 * label)[:, None], 3, axis=1).astype(np.uint8)
    return torch.from_numpy(image), torch.from_numpy(label)


def test_nothing_asked_for_changes_nothing():
    image, label = _frames()
    ours, ids = Augment(AugmentConfig(), MEAN)(image, label, _generator())
    assert torch.allclose(ours, image.float(), atol=1e-3)
    assert torch.equal(ids, label)


def test_flip_mirrors_image_and_label_about_half_the_time():
    image, label = _frames(200, (16, 16))
    ours, ids = Augment(AugmentConfig(flip=0.5), MEAN)(image, label, _generator())
    flipped = [bool(torch.equal(i, want.flip(-1))) for i, want in zip(ids, label, strict=True)]
    same = [bool(torch.equal(i, want)) for i, want in zip(ids, label, strict=True)]
    assert all(f or s for f, s in zip(flipped, same, strict=True))
    assert 60 < sum(flipped) < 140
    for i in range(200):
        want = image[i].flip(-1) if flipped[i] and not same[i] else image[i]
        assert torch.allclose(ours[i], want.float(), atol=1e-3)


@pytest.mark.parametrize("crop", [(40, 56), (32, 32), (64, 80)])
def test_image_and_label_move_together_and_what_lies_beyond_is_ignored(crop):
    image, label = _frames(8)
    config = AugmentConfig(crop=crop, flip=0.5, scale=(0.5, 2.0), rotate=10)
    ours, ids = Augment(config, MEAN)(image, label, _generator(3))
    assert ours.shape == (8, 3, *crop) and ids.shape == (8, *crop)
    inside = ids != 255
    assert set(ids[inside].unique().tolist()) <= set(range(5))
    # Away from the edges of blocks the red channel still says which class a pixel has.
    agree = (ours[:, 0] / 50).round().long() == ids
    assert agree[inside].float().mean() > 0.85
    fill = 255 * torch.tensor(MEAN).view(3, 1)
    beyond = ours.permute(1, 0, 2, 3)[:, ~inside]
    assert torch.allclose(beyond, fill.expand_as(beyond), atol=1e-3)


def test_a_warp_that_moves_nothing_gives_every_pixel_back():
    image, label = _frames()
    config = AugmentConfig(scale=(1.0, 1.0 + 1e-9))  # takes the road of the resampling
    ours, ids = Augment(config, MEAN)(image, label, _generator())
    assert torch.equal(ids, label)
    assert (ours - image.float()).abs().max() < 0.05


def test_scaling_keeps_the_ratio_and_half_size_shows_the_whole_frame():
    image = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    label = torch.zeros(1, 64, 64, dtype=torch.long)
    _, ids = Augment(AugmentConfig(scale=(0.5, 0.5)), MEAN)(image, label, _generator())
    assert int((ids == 0).sum()) == pytest.approx(32 * 32, rel=0.07)


def test_the_same_seed_gives_the_same_batch_and_another_seed_another():
    image, label = _frames()
    config = AugmentConfig(
        flip=0.5, scale=(0.5, 2), rotate=10, brightness=0.3, contrast=0.3, saturation=0.3,
        hue=0.1, gamma=(0.5, 2), noise=0.05, blur=0.5,
    )  # fmt: skip
    augment = Augment(config, MEAN)
    first, again, other = (augment(image, label, _generator(seed))[0] for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0 and first.max() <= 255


@pytest.mark.parametrize(
    "change", ["brightness", "contrast", "saturation", "hue", "gamma", "noise", "blur"]
)
def test_each_change_of_light_changes_the_image_and_not_the_label(change):
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.integers(40, 200, (4, 3, 32, 32), dtype=np.uint8))
    label = torch.zeros(4, 32, 32, dtype=torch.long)
    value = {"gamma": (0.5, 2.0), "blur": 1.0}.get(change, 0.3)
    ours, ids = Augment(AugmentConfig(**{change: value}), MEAN)(image, label, _generator())
    assert (ours - image.float()).abs().mean() > 1
    assert torch.equal(ids, label)


def test_hue_and_saturation_keep_the_brightness_of_every_pixel():
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.integers(100, 150, (4, 3, 16, 16), dtype=np.uint8))
    label = torch.zeros(4, 16, 16, dtype=torch.long)
    ours, _ = Augment(AugmentConfig(hue=0.1, saturation=0.3), MEAN)(image, label, _generator())
    luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    assert torch.allclose((ours * luma).sum(1), (image * luma).sum(1), atol=0.1)
    assert not torch.allclose(ours, image.float(), atol=1)


def test_holes_hide_and_are_ignored():
    image, label = _frames(200)
    config = AugmentConfig.model_validate({"dropout": {"share": 0.3, "holes": 4}})
    ours, ids = Augment(config, MEAN)(image, label, _generator())
    hole = ids == 255
    assert 35 < int(hole.flatten(1).any(1).sum()) < 85
    fill = 255 * torch.tensor(MEAN).view(3, 1)
    hidden = ours.permute(1, 0, 2, 3)[:, hole]
    assert torch.allclose(hidden, fill.expand_as(hidden), atol=1e-3)
    assert torch.equal(ids[~hole], label[~hole])
    shown = ours.permute(1, 0, 2, 3)[:, ~hole]
    assert torch.allclose(shown, image.permute(1, 0, 2, 3)[:, ~hole].float(), atol=1e-3)
    assert hole.flatten(1).float().mean(1).max() <= 4 * 0.12**2
