"""Several data sets train as one, each as often as asked for, and none of its held-out frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashseg.config import DataConfig, ExtraData
from dashseg.data import open_dataset, open_training_set
from dashseg.errors import InputError
from dashseg.scenes import render_scene

NAMES = ["a_10", "a_19", "b_20"]


@pytest.fixture
def root(tmp_path: Path, write_comma10k: Callable[..., object]) -> str:
    """Two frames for training and one for validation."""
    write_comma10k(tmp_path / "data", NAMES)
    return str(tmp_path / "data")


def mixture_of(root: str, *extra: ExtraData, repeat: int = 1):
    return open_training_set(DataConfig(root=root, repeat=repeat, extra=extra))


def test_each_data_set_comes_as_often_as_its_repeat(root: str) -> None:
    frames = mixture_of(root, ExtraData(root="synthetic:3:5"), repeat=4)
    names = [name.partition("/")[2] for name in frames.names]
    scenes = open_dataset(DataConfig(root="synthetic:3:5"), "train").names
    assert Counter(names) == Counter({"a_10": 4, "b_20": 4, **dict.fromkeys(scenes, 1)})
    assert len(frames) == len(set(frames.names)) == 11


def test_frames_and_labels_are_those_of_their_own_data_set(root: str) -> None:
    frames = mixture_of(root, ExtraData(root="synthetic:2:5"))
    own, scene = open_dataset(DataConfig(root=root), "train"), render_scene(5, 1)
    assert np.array_equal(frames[1].image, own[1].image)
    assert np.array_equal(frames.label(1), own.label(1))
    assert np.array_equal(frames[3].image, scene.image)
    assert np.array_equal(frames[3].label, scene.label)
    assert frames[3].name == frames.names[3]
    with pytest.raises(IndexError):
        frames[4]


def test_held_out_frames_stay_out_unless_all_are_asked_for(
    root: str, tmp_path: Path, write_comma10k: Callable[..., object]
) -> None:
    write_comma10k(tmp_path / "other", ["c_30", "c_39"])
    takes: Any = (("train", {"c_30"}), ("all", {"c_30", "c_39"}))
    for take, names in takes:
        frames = mixture_of(root, ExtraData(root=str(tmp_path / "other"), take=take))
        assert {name.partition("/")[2] for name in frames.names} == {"a_10", "b_20", *names}


def test_a_split_file_says_which_of_the_extra_frames_train(root: str, tmp_path: Path) -> None:
    split = tmp_path / "split.json"
    split.write_text('{"train": ["a_19"], "val": ["b_20"]}')
    frames = mixture_of("synthetic:2:5", ExtraData(root=root, split=split))
    assert [name for name in frames.names if name.startswith("1/")] == ["1/a_19"]


def test_selecting_keeps_order_and_the_fingerprint_tells_mixtures_apart(root: str) -> None:
    one = mixture_of(root, ExtraData(root="synthetic:2:5"))
    other = mixture_of(root, ExtraData(root="synthetic:2:6"))
    assert one.fingerprint() != other.fingerprint()
    chosen = one.select([one.names[3], one.names[0]], "some")
    assert [chosen[i].label.tolist() for i in range(2)] == [one.label(i).tolist() for i in (0, 3)]


def test_data_sets_of_other_classes_are_an_error_that_names_both(
    root: str, tmp_path: Path, write_camvid11: Callable[..., object]
) -> None:
    write_camvid11(tmp_path / "camvid", {"train": ["x"]})
    with pytest.raises(InputError, match=r"sky, building, .* has road, lane markings"):
        mixture_of(root, ExtraData(root=str(tmp_path / "camvid")))


def test_one_data_set_alone_is_itself(root: str) -> None:
    assert open_training_set(DataConfig(root=root)) == open_dataset(DataConfig(root=root), "train")
