from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from dashseg.config import AugmentConfig, JpegConfig, change_recipe, load_recipe
from dashseg.images import resize_image
from dashseg.scenes import render_scene
from dashseg.shrink import shrink_label
from dashseg.training.augment import Augment, Draws

MEAN = (0.485, 0.456, 0.406)


def _draws(image: torch.Tensor, seed: int = 0) -> Draws:
    return Draws.of_batch((seed,), range(len(image)))


def _frames(count: int = 3, size: tuple[int, int] = (40, 56)) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames whose red channel is 50 × class id, in blocks that survive resampling."""
    rng = np.random.default_rng(1)
    blocks = rng.integers(0, 5, (count, size[0] // 8, size[1] // 8))
    label = np.kron(blocks, np.ones((8, 8), int))
    image = np.repeat((50 * label)[:, None], 3, axis=1).astype(np.uint8)
    return torch.from_numpy(image), torch.from_numpy(label)


def test_without_augmentation_nothing_changes() -> None:
    image, label = _frames()
    ours, ids = Augment(AugmentConfig(), MEAN)(image, label, _draws(image))
    assert torch.allclose(ours, image.float(), atol=1e-3)
    assert torch.equal(ids, label)


def test_flip_mirrors_image_and_label_of_about_half_the_frames() -> None:
    image, label = _frames(200, (16, 16))
    ours, ids = Augment(AugmentConfig(flip=0.5), MEAN)(image, label, _draws(image))
    flipped = [bool(torch.equal(i, want.flip(-1))) for i, want in zip(ids, label, strict=True)]
    same = [bool(torch.equal(i, want)) for i, want in zip(ids, label, strict=True)]
    assert all(f or s for f, s in zip(flipped, same, strict=True))
    assert 60 < sum(flipped) < 140
    for i in range(200):
        want = image[i].flip(-1) if flipped[i] and not same[i] else image[i]
        assert torch.allclose(ours[i], want.float(), atol=1e-3)


@pytest.mark.parametrize("crop", [(40, 56), (32, 32), (64, 80)])
def test_image_and_label_move_together_and_places_outside_are_ignored(crop: Any) -> None:
    image, label = _frames(8)
    config = AugmentConfig(crop=crop, flip=0.5, scale=(0.5, 2.0), rotate=10)
    ours, ids = Augment(config, MEAN)(image, label, _draws(image, 3))
    assert ours.shape == (8, 3, *crop) and ids.shape == (8, *crop)
    inside = ids != 255
    assert set(ids[inside].unique().tolist()) <= set(range(5))
    # Away from the edges of blocks the red channel still says which class a pixel has.
    agree = (ours[:, 0] / 50).round().long() == ids
    assert agree[inside].float().mean() > 0.85
    fill = 255 * torch.tensor(MEAN).view(3, 1)
    beyond = ours.permute(1, 0, 2, 3)[:, ~inside]
    assert torch.allclose(beyond, fill.expand_as(beyond), atol=1e-3)


def test_the_identity_warp_keeps_every_pixel() -> None:
    image, label = _frames()
    config = AugmentConfig(scale=(1.0, 1.0 + 1e-9))  # takes the road of the resampling
    ours, ids = Augment(config, MEAN)(image, label, _draws(image))
    assert torch.equal(ids, label)
    assert (ours - image.float()).abs().max() < 0.05


def test_scaling_keeps_the_ratio_and_half_size_shows_the_whole_frame() -> None:
    image = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    label = torch.zeros(1, 64, 64, dtype=torch.long)
    _, ids = Augment(AugmentConfig(scale=(0.5, 0.5)), MEAN)(image, label, _draws(image))
    assert int((ids == 0).sum()) == pytest.approx(32 * 32, rel=0.07)


def test_the_same_seed_gives_the_same_batch_and_another_seed_another() -> None:
    image, label = _frames()
    config = AugmentConfig(
        flip=0.5, scale=(0.5, 2), rotate=10, brightness=0.3, contrast=0.3, saturation=0.3,
        hue=0.1, gamma=(0.5, 2), noise=0.05, blur=0.5,
    )  # fmt: skip
    augment = Augment(config, MEAN)
    first, again, other = (augment(image, label, _draws(image, seed))[0] for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0 and first.max() <= 255


def test_a_frames_augmentation_does_not_depend_on_the_rest_of_the_batch() -> None:
    """As one process has it, and one of several: by seed, step and place in the whole batch."""
    scenes = [render_scene(5, index) for index in range(8)]
    image = torch.from_numpy(np.stack([resize_image(s.image, (64, 96)) for s in scenes]))
    image = image.permute(0, 3, 1, 2)
    label = torch.from_numpy(np.stack([shrink_label(s.label, (64, 96)) for s in scenes])).long()
    config = change_recipe(
        load_recipe("comma10k-strong"),
        augment={
            "crop": (64, 64), "bonnet": 0.0, "night": {"share": 0.5}, "rain": {"share": 0.5},
            "paint": {"share": 0.5},
        },
    ).augment  # fmt: skip
    augment = Augment(config, MEAN)
    whole, ids = augment(image, label, Draws.of_batch((3, 11), range(8)))
    for part in (slice(0, 3), slice(3, 8)):
        ours, own = augment(
            image[part], label[part], Draws.of_batch((3, 11), range(part.start, part.stop))
        )
        assert torch.allclose(ours, whole[part], atol=0.01)
        assert torch.equal(own, ids[part])
    assert not torch.equal(augment(image, label, Draws.of_batch((3, 12), range(8)))[0], whole)


@pytest.mark.parametrize(
    "change", ["brightness", "contrast", "saturation", "hue", "gamma", "noise", "blur", "jpeg"]
)
def test_each_change_of_light_changes_the_image_and_not_the_label(change: str) -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.integers(40, 200, (4, 3, 32, 32), dtype=np.uint8))
    label = torch.zeros(4, 32, 32, dtype=torch.long)
    values: dict[str, Any] = {"gamma": (0.5, 2.0), "blur": 1.0, "jpeg": {"share": 1}}
    ours, ids = Augment(AugmentConfig(**{change: values.get(change, 0.3)}), MEAN)(
        image, label, _draws(image)
    )
    assert (ours - image.float()).abs().mean() > 1
    assert torch.equal(ids, label)


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize("quality", [10, 25, 50, 90])
@pytest.mark.parametrize("size", [(128, 192), (117, 181)])
def test_compression_loses_what_libjpeg_loses(quality: int, size: tuple[int, int]) -> None:
    frame = np.ascontiguousarray(resize_image(render_scene(5, 1).image, size))
    bgr = np.ascontiguousarray(frame[..., ::-1])
    coded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    want = cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1]
    image = torch.from_numpy(frame).permute(2, 0, 1)[None]
    config = AugmentConfig(jpeg=JpegConfig(share=1, quality=(quality, quality)))
    label = torch.zeros(1, *size, dtype=torch.long)
    ours = Augment(config, MEAN)(image, label, _draws(image))[0][0].permute(1, 2, 0).numpy()
    assert _psnr(ours, frame) == pytest.approx(_psnr(want, frame), abs=2)  # dB
    assert _psnr(ours, want) > _psnr(want, frame) + 1  # nearer to libjpeg's than to the original


def test_compression_takes_its_share_of_the_frames() -> None:
    image, label = _frames(200, (16, 16))
    config = AugmentConfig(jpeg=JpegConfig(share=0.3, quality=(5, 5)))
    ours, _ = Augment(config, MEAN)(image, label, _draws(image))
    changed = ((ours - image.float()).abs() > 1).flatten(1).any(1)
    assert 35 < int(changed.sum()) < 85


def test_hue_and_saturation_keep_the_brightness_of_every_pixel() -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.integers(100, 150, (4, 3, 16, 16), dtype=np.uint8))
    label = torch.zeros(4, 16, 16, dtype=torch.long)
    ours, _ = Augment(AugmentConfig(hue=0.1, saturation=0.3), MEAN)(image, label, _draws(image))
    luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    assert torch.allclose((ours * luma).sum(1), (image * luma).sum(1), atol=0.1)
    assert not torch.allclose(ours, image.float(), atol=1)


def test_holes_have_the_mean_colour_and_are_ignored() -> None:
    image, label = _frames(200)
    config = AugmentConfig.model_validate({"dropout": {"share": 0.3, "holes": 4}})
    ours, ids = Augment(config, MEAN)(image, label, _draws(image))
    hole = ids == 255
    assert 35 < int(hole.flatten(1).any(1).sum()) < 85
    fill = 255 * torch.tensor(MEAN).view(3, 1)
    hidden = ours.permute(1, 0, 2, 3)[:, hole]
    assert torch.allclose(hidden, fill.expand_as(hidden), atol=1e-3)
    assert torch.equal(ids[~hole], label[~hole])
    shown = ours.permute(1, 0, 2, 3)[:, ~hole]
    assert torch.allclose(shown, image.permute(1, 0, 2, 3)[:, ~hole].float(), atol=1e-3)
    assert hole.flatten(1).float().mean(1).max() <= 4 * 0.12**2
