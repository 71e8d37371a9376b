"""How bright a frame is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashseg.config import DataConfig, change_recipe, load_recipe
from dashseg.curate.brightness import brightness_group, luminance
from dashseg.data import open_dataset
from dashseg.images import read_image
from dashseg.training.augment import Augment, Draws
from dashseg.training.batches import stack
from dashseg.training.frames import WorkingFrames


@pytest.mark.parametrize(
    ("colour", "expected"),
    [((255, 0, 0), 76.245), ((0, 255, 0), 149.685), ((0, 0, 255), 29.07), ((9, 9, 9), 9)],
)
def test_luminance_is_the_luma_of_bt_601(colour: Any, expected: float) -> None:
    image = np.full((4, 6, 3), colour, np.uint8)
    assert luminance(image) == pytest.approx(expected, abs=0.5)  # of whole grey levels


@pytest.mark.parametrize(
    ("luma", "group"), [(0, "dark"), (44.9, "dark"), (45, "dim"), (69.9, "dim"), (255, "bright")]
)
def test_a_group_is_a_range_of_luma(luma: float, group: str) -> None:
    assert brightness_group(luma) == group


@pytest.mark.parametrize(
    ("frame", "group"),  # as a person sees the picture
    [
        ("comma10k_sample/imgs/0001_*.png", "dark"),  # a night highway without lamps
        ("lums_road/imgs/color_335_*.jpg", "dark"),  # next to black
        ("camvid_360x480/train/0001TP_006690.jpg", "dim"),  # a street under heavy clouds
        ("camvid_720x960/images/0006R0_f00930.jpg", "bright"),
        ("unlabelled/test1.jpg", "bright"),  # a highway at noon
        ("dnit_partial/imgs/*.jpg", "bright"),
    ],
)
def test_real_frames_are_grouped_as_a_person_sees_them(
    shared_data: Path, frame: str, group: str
) -> None:
    path = min(shared_data.glob(frame))
    assert brightness_group(luminance(read_image(path))) == group


@pytest.mark.parametrize("darkness", [0.75, 1.0])
def test_no_scene_made_night_is_bright(darkness: float) -> None:
    recipe = change_recipe(
        load_recipe("demo"),
        augment={"crop": None, "night": {"share": 1, "darkness": [darkness, darkness]}},
    )
    frames = WorkingFrames(open_dataset(DataConfig(root="synthetic:6:3")), recipe.model.input)
    batch = stack([frames[index] for index in range(6)], np.zeros(3, np.uint8))
    augment = Augment(recipe.augment, recipe.model.input.mean_rgb, frames.dataset.classes)
    images, _ = augment(batch.image, batch.label.long(), Draws.of_batch((1,), range(6)))
    night = images.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
    groups = [brightness_group(luminance(image)) for image in night]
    assert "bright" not in groups and groups.count("dark") >= 3


def test_every_luminance_has_exactly_one_group() -> None:
    groups = [brightness_group(luma) for luma in np.linspace(0, 255, 1021)]
    assert [g for i, g in enumerate(groups) if i == 0 or g != groups[i - 1]] == [
        "dark",
        "dim",
        "bright",
    ]
