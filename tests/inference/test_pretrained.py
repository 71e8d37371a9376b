"""The model that comes with dashseg works right after installation, on drawn and on real frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dashseg.config import DataConfig, load_recipe
from dashseg.data import open_dataset
from dashseg.evaluation.metrics import ConfusionMatrix, iou_per_class
from dashseg.inference import Segmenter, load
from dashseg.inference.loading import pretrained
from dashseg.labels import COMMA10K
from dashseg.scenes import render_scene
from dashseg.training.plan import new_network

LARGEST = 10_000_000  # bytes


@pytest.fixture(scope="module")
def small() -> Segmenter:
    return load("small", device="cpu")


def iou(segmenter: Segmenter, frames: list[Any]) -> dict[str, float]:
    """Of each class (NaN if it is absent), over all frames: anything with an image and a label."""
    confusion = ConfusionMatrix(len(COMMA10K))
    for frame in frames:
        label = torch.from_numpy(frame.label.astype(np.int64))
        confusion.update(torch.from_numpy(segmenter(frame.image).label.astype(np.int64)), label)
    ious = np.array(iou_per_class(confusion.compute()), float)
    return dict(zip(COMMA10K.names, ious.tolist(), strict=True))


def test_it_is_small_and_halved_on_disk_and_whole_in_memory(small: Segmenter) -> None:
    folder = pretrained()["small"]
    weights = folder / "model.safetensors"
    assert weights.stat().st_size <= LARGEST
    kinds = {value.dtype for value in load_file(weights).values()}
    assert kinds == {torch.float16, torch.int64}  # the latter count a norm's batches
    assert {p.dtype for p in small.network.parameters()} == {torch.float32}


def test_it_has_commas_classes_and_a_card_that_says_whose_frames_it_learnt_from() -> None:
    folder = pretrained()["small"]
    config = json.loads((folder / "config.json").read_text())
    assert tuple(entry["name"] for entry in config["classes"]) == COMMA10K.names
    card = (folder / "README.md").read_text()
    assert "You may use the weights for anything" in card
    assert all(entry["commercial_use"] is True for entry in config["trained_on"])
    for name in ("LUMS", "DNIT", "Udacity", "comma10k", "DINOv2", "ImageNet"):
        assert name in card


def test_the_recipe_of_its_name_trains_it_further(small: Segmenter) -> None:
    start = new_network(load_recipe("small"), small.classes).state_dict()
    assert all(torch.equal(start[key], value) for key, value in small.network.state_dict().items())


def test_it_knows_drawn_scenes_that_it_never_saw(small: Segmenter) -> None:
    found = iou(small, [render_scene(907, index) for index in range(6)])
    assert found["road"] > 0.85 and found["my car"] > 0.85 and found["lane markings"] > 0.4


def real(folder: Path, step: int) -> list[Any]:
    frames = open_dataset(DataConfig(root=str(folder)), "all")
    return [frames[index] for index in range(0, len(frames), step)]


def test_it_knows_a_camera_that_it_never_saw(small: Segmenter, shared_data: Path) -> None:
    found = iou(small, real(shared_data / "camvid_720x960", 40))
    assert found["road"] > 0.85 and found["lane markings"] > 0.33 and found["movable"] > 0.5


def test_it_remembers_real_bonnets_that_it_learnt(small: Segmenter, shared_data: Path) -> None:
    found = iou(small, real(shared_data / "comma10k_sample", 1))
    assert found["road"] > 0.85 and found["my car"] > 0.97 and found["movable"] > 0.6
