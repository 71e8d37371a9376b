"""Bonnets come under frames that have none: label and image together, by seed alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dashseg.config import AugmentConfig
from dashseg.data.camvid import CAMVID11
from dashseg.errors import InputError
from dashseg.labels import COMMA10K
from dashseg.training.augment.bonnet import Bonnets
from dashseg.training.augment.draws import Draws

MY_CAR = 4
SHADE = 0.5  # of the bonnet in the frame that has one


def batch() -> tuple[Tensor, Tensor]:
    """One frame with a bonnet over its lowest third, two of bare road, one with a wiper's tip."""
    image = torch.full((4, 3, 60, 80), 0.25)
    label = torch.zeros(4, 60, 80, dtype=torch.long)
    image[0, :, 40:], label[0, 40:] = SHADE, MY_CAR
    label[3, 58:, :10] = MY_CAR
    return image, label


def pasted(share: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    bonnets = Bonnets(AugmentConfig(bonnet=share), COMMA10K)
    return bonnets(*batch(), Draws.of_batch((seed,), range(4)))


def test_frames_without_a_bonnet_get_one_at_the_lower_edge() -> None:
    image, label = pasted(1.0)
    for frame in (1, 2):
        assert (label[frame, -1] == MY_CAR).all()
        rows = (label[frame] == MY_CAR).all(1)
        assert torch.equal(
            rows, (label[frame] == MY_CAR).any(1)
        )  # as level as the one it was cut from
        assert 0.6 * 20 - 1 <= rows.sum() <= 1.3 * 1.4 * 20 + 1
        assert (rows.int().diff() >= 0).all()
        inside, outside = image[frame, :, rows][:, 3:], image[frame, :, ~rows]
        assert inside.std() < 1e-4 and inside.mean() > 0.3
        assert torch.all(outside == 0.25)


def test_its_edge_is_soft() -> None:
    image, label = pasted(1.0)
    top = int((label[1] == MY_CAR).all(1).int().argmax())
    assert image[1, 0, top - 1, 40] == 0.25
    assert (image[1, 0, top - 1 : top + 3, 40].diff() > 0).all()


def test_a_frame_whose_label_may_be_the_own_car_gets_no_bonnet() -> None:
    bonnets = Bonnets(AugmentConfig(bonnet=1.0), COMMA10K, groups=((0, 1), (2, MY_CAR)))
    image, label = batch()
    label[1, 50:], label[2, 50:] = 5, 6
    pasted = bonnets(image, label, Draws.of_batch((0,), range(4)))[1]
    assert (pasted[1, -1] == MY_CAR).all()
    assert torch.equal(pasted[2], label[2])


def test_frames_with_the_own_car_do_not_change() -> None:
    image, label = pasted(1.0)
    for frame in (0, 3):
        assert torch.equal(image[frame], batch()[0][frame])
        assert torch.equal(label[frame], batch()[1][frame])


def test_share_and_seed_decide_which_frames_get_a_bonnet() -> None:
    got = [(pasted(0.3, seed)[1][1:3, -1, 0] == MY_CAR).sum().item() for seed in range(200)]
    assert sum(got) == pytest.approx(0.3 * 400, rel=0.25)
    assert all(torch.equal(a, b) for a, b in zip(pasted(0.5, 7), pasted(0.5, 7), strict=True))


def test_a_batch_without_a_bonnet_does_not_change() -> None:
    image, label = torch.rand(2, 3, 60, 80), torch.zeros(2, 60, 80, dtype=torch.long)
    after = Bonnets(AugmentConfig(bonnet=1.0), COMMA10K)(
        image, label, Draws.of_batch((0,), range(2))
    )
    assert torch.equal(after[0], image) and torch.equal(after[1], label)


def test_a_bonnet_adapts_to_the_brightness_of_its_new_frame() -> None:
    image, label = batch()
    image[2] *= 2  # brighter by two than its neighbour
    image, label = Bonnets(AugmentConfig(bonnet=1.0), COMMA10K)(
        image, label, Draws.of_batch((0,), range(4))
    )
    dark, bright = (image[i, :, -1].mean().item() for i in (1, 2))
    assert bright == pytest.approx(2 * dark, rel=1e-3)


def test_data_without_the_class_is_an_error() -> None:
    with pytest.raises(
        InputError, match=r"augment.bonnet needs a class 'my car'; the data has sky"
    ):
        Bonnets(AugmentConfig(bonnet=0.5), CAMVID11)
    Bonnets(AugmentConfig(), CAMVID11)
