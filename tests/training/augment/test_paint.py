"""Lane markings fade towards the road beside them; nothing else changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dashseg.config import AugmentConfig, PaintConfig
from dashseg.data.camvid import CAMVID11
from dashseg.errors import InputError
from dashseg.labels import COMMA10K, Classes
from dashseg.training.augment import Augment
from dashseg.training.augment.draws import Draws
from dashseg.training.augment.paint import FadedPaint

ROAD, PAINT, BESIDE = 0, 1, 2
ASPHALT, WHITE, GRASS = 0.4, 0.9, 0.1
LINE = (slice(None), slice(46, 54))  # rows, columns


def frames(count: int = 1) -> tuple[Tensor, Tensor]:
    """A grey road with a white line down its middle and grass on both sides."""
    image = torch.full((count, 3, 60, 100), ASPHALT)
    label = torch.full((count, 60, 100), ROAD)
    for side in (slice(0, 20), slice(80, 100)):
        image[..., side], label[..., side] = GRASS, BESIDE
    image[(..., *LINE)], label[(..., *LINE)] = WHITE, PAINT
    return image, label


def faded(image: Tensor, label: Tensor, fade: float, share: float = 1, seed: int = 0) -> Tensor:
    paint = FadedPaint(PaintConfig(share=share, fade=(fade, fade)), COMMA10K)
    return paint(image, label, Draws.of_batch((seed,), range(len(image))))


@pytest.mark.parametrize("fade", [0.25, 0.5, 1.0])
def test_paint_loses_that_share_of_its_contrast_to_the_road(fade: float) -> None:
    image, label = frames()
    after = faded(image, label, fade)
    inside = after[..., 48:52]
    assert torch.allclose(inside, torch.full_like(inside, WHITE - fade * (WHITE - ASPHALT)))
    beside = [*range(42), *range(58, 100)]
    assert torch.allclose(after[..., beside], image[..., beside])  # grass and asphalt stay


def test_nothing_is_left_of_a_line_that_fades_wholly() -> None:
    image, label = frames()
    # Half-painted pixels at the outline, which the label calls road.
    image[..., [45, 54]] = (ASPHALT + WHITE) / 2
    left = faded(image, label, 1.0)[..., 20:80] - ASPHALT
    assert left.abs().max() < 0.3 * (WHITE - ASPHALT)
    assert left[..., 26:34].abs().max() < 0.06 * (WHITE - ASPHALT)
    assert left[..., 27:33].abs().max() < 1e-5


def test_each_line_fades_towards_its_own_piece_of_road() -> None:
    """A shadow lies on the far half of the road, paint included."""
    image, label = frames()
    image[:, :, :30] *= 0.5
    after = faded(image, label, 1.0)
    assert torch.allclose(after[:, :, 5, 49], torch.tensor(0.5 * ASPHALT), atol=0.01)
    assert torch.allclose(after[:, :, 55, 49], torch.tensor(ASPHALT), atol=0.01)


def test_paint_without_road_near_stays() -> None:
    image, label = frames()
    label[label == ROAD] = 255
    assert torch.equal(faded(image, label, 1.0), image)


def test_share_and_seed_decide_which_frames_fade() -> None:
    image, label = frames(8)

    def which(seed: int) -> Tensor:
        return (faded(image, label, 0.5, 0.3, seed) != image).flatten(1).any(1)

    assert sum(int(which(seed).sum()) for seed in range(50)) == pytest.approx(120, rel=0.25)
    assert torch.equal(which(3), which(3))


def test_the_label_stays_and_the_strength_varies_within_its_range() -> None:
    image, label = frames(64)
    config = AugmentConfig(paint=PaintConfig(share=1, fade=(0.2, 0.6)))
    after, ids = Augment(config, (0.5, 0.5, 0.5))(
        (image * 255).round().byte(), label, Draws.of_batch((0,), range(64))
    )
    assert torch.equal(ids, label)
    fade = (WHITE - after[:, 0, 30, 50] / 255) / (WHITE - ASPHALT)
    assert fade.min() > 0.19 and fade.max() < 0.61 and fade.std() > 0.08


def test_data_without_lane_markings_says_so() -> None:
    on = PaintConfig(share=0.5)
    with pytest.raises(InputError, match=r"augment\.paint needs classes 'road' and 'lane mark"):
        FadedPaint(on, CAMVID11)
    FadedPaint(PaintConfig(), CAMVID11)
    FadedPaint(on, Classes(names=("Road", "lane marking"), colours=((0, 0, 0), (1, 1, 1))))
