"""Each frame is held out once, its whole drive with it, and reviewed by that fold's model."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dashseg.config import Recipe, change_recipe, load_recipe
from dashseg.data import open_dataset
from dashseg.errors import InputError
from dashseg.inference import load, save_model
from dashseg.review.folds import make_folds, parts_of_folds, plan_folds, train_folds
from dashseg.review.suspects import find_suspects
from dashseg.scenes.names import scene_name
from dashseg.training.loop import Loop
from dashseg.training.run import Interrupted

SCENES = [scene_name(3, index).removesuffix(".png") for index in range(70)]  # ten of each drive


@pytest.mark.parametrize("count", [2, 3, 7])
def test_every_frame_is_held_out_once_and_trained_on_in_all_other_folds(count: int) -> None:
    folds = make_folds(SCENES, count, seed=0)
    assert len(folds) == count
    assert sorted(name for fold in folds for name in fold.held_out) == sorted(SCENES)
    for fold in folds:
        assert not set(fold.train) & set(fold.held_out)
        assert set(fold.train) | set(fold.held_out) == set(SCENES)


def test_a_drive_stays_in_one_fold_and_folds_are_as_even_as_that_allows() -> None:
    folds = make_folds(SCENES, 3, seed=0)
    drives = [{name.split("_")[1] for name in fold.held_out} for fold in folds]
    assert not drives[0] & drives[1] | drives[0] & drives[2] | drives[1] & drives[2]
    assert sorted(len(fold.held_out) for fold in folds) == [20, 20, 30]


def test_fewer_drives_than_folds_are_cut_where_the_camera_paused() -> None:
    numbers = (*range(0, 300, 30), *range(390, 930, 30))  # 10 and 18
    names = [f"0016E5_{number:05}" for number in numbers]
    names += [f"0006R0_f{number:05}" for number in range(0, 300, 30)]
    held_out = {fold.held_out for fold in make_folds(names, 3, seed=0)}
    assert held_out == {tuple(names[:10]), tuple(names[10:28]), tuple(names[28:])}


def test_a_drive_that_outweighs_all_others_is_cut_so_that_every_fold_has_frames_to_learn_from() -> (
    None
):
    long = [f"0016E5_{number:05}" for number in range(0, 2700, 30)]
    names = long + [f"0006R0_f{number:05}" for number in range(0, 300, 30)]
    first, second = make_folds(names, 2, seed=0)
    assert {len(first.held_out), len(second.held_out)} == {45, 55}
    for fold in (first, second):
        numbers = [long.index(name) for name in fold.held_out if name in long]
        assert len(numbers) == 45 and max(numbers) - min(numbers) == 44


def test_a_drive_of_several_segments_is_cut_between_two_of_them() -> None:
    """Segment 9 comes before segment 10, and numbers begin anew in each."""
    route = "0001_3d64aba675bf3c1f_2018-09-01--18-27-09"
    names = [f"{route}_{segment}_{frame}" for segment in (10, 9) for frame in (5, 900, 1100)]
    held_out = {fold.held_out for fold in make_folds(names, 2, seed=0)}
    assert held_out == {tuple(names[:3]), tuple(names[3:])}


def test_names_that_tell_no_drive_are_held_out_in_stretches_from_all_over() -> None:
    names = [f"frame_{number:04}" for number in range(200)]
    for fold in make_folds(names, 4, seed=0):
        numbers = np.array([int(name[-4:]) for name in fold.held_out])
        stretches = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
        assert len(numbers) == 50 and 1 < len(stretches) <= 5
        assert all(len(stretch) % 10 == 0 for stretch in stretches)


@pytest.mark.parametrize("seed", range(20))
def test_any_names_can_be_shared_out_into_any_folds(seed: Any) -> None:
    rng = np.random.default_rng(seed)
    drives = [f"0006R0_f{number:05}" for number in rng.choice(3000, rng.integers(0, 40), False)]
    names = list(rng.permutation([*SCENES[: rng.integers(0, 70)], *drives, "a", "b/c"]))
    count = int(rng.integers(2, len(names) + 1))
    folds = make_folds(names, count, seed)
    assert len(folds) == count and all(fold.held_out for fold in folds)
    assert sorted(name for fold in folds for name in fold.held_out) == sorted(names)


def test_the_seed_decides_which_drives_go_together() -> None:
    assert make_folds(SCENES, 3, seed=1) == make_folds(SCENES, 3, seed=1)
    assert make_folds(SCENES, 3, seed=1) != make_folds(SCENES, 3, seed=2)


def test_a_single_fold_is_an_error() -> None:
    with pytest.raises(InputError, match="2 or more"):
        make_folds(SCENES, 1, seed=0)


def test_more_folds_than_frames_is_an_error_that_says_how_many_there_are() -> None:
    with pytest.raises(InputError, match="there are 70 frames"):
        make_folds(SCENES, 71, seed=0)


@pytest.fixture
def dataset(write_comma10k: Any, tmp_path: Path):
    write_comma10k(tmp_path / "data", SCENES[:40:4])  # four drives
    return open_dataset(load_recipe("demo", [f"data.root={tmp_path / 'data'}"]).data)


@pytest.fixture
def recipe(dataset: Any) -> Recipe:
    changes = (
        "model.input.size=[40, 56]", "model.encoder.output_stride=32", "model.encoder.width=0.25",
        "model.aspp.channels=4",
        "model.decoder.name=bilinear", "training.epochs=2", "training.batch_size=2",
        "training.precision=float32", "training.loggers=[]", "data.workers=0",
        f"data.root={dataset.root}",
    )  # fmt: skip
    return load_recipe(None, changes)


def test_split_files_say_what_each_fold_trains_on_and_reviews(
    dataset: Any, recipe: Recipe, tmp_path: Path
) -> None:
    folds = make_folds(dataset.names, 2, seed=0)
    plan_folds(tmp_path / "folds", dataset, recipe, 0, folds)
    for number, fold in enumerate(folds, 1):
        path = tmp_path / "folds" / f"{number}.json"
        assert open_dataset(recipe.data, str(path)).names == fold.held_out
        assert tuple(json.loads(path.read_text())["train"]) == fold.train


@pytest.mark.parametrize("what", ["seed", "folds", "recipe", "fingerprint"])
def test_folds_of_another_kind_are_not_gone_on_with(
    dataset: Any, recipe: Recipe, tmp_path: Path, what: str
) -> None:
    folds = make_folds(dataset.names, 2, seed=0)
    plan_folds(tmp_path / "folds", dataset, recipe, 9, folds)
    plan_folds(tmp_path / "folds", dataset, recipe, 0, folds)  # nothing was trained by the other
    (tmp_path / "folds" / "1").mkdir()
    (tmp_path / "folds" / "1" / "recipe.yaml").write_text("")
    plan_folds(tmp_path / "folds", dataset, recipe, 0, folds)  # the same: nothing to say
    seed = 1 if what == "seed" else 0
    if what == "folds":
        folds = make_folds(dataset.names, 3, seed=0)
    if what == "recipe":
        recipe = change_recipe(recipe, training={"epochs": 3})
    if what == "fingerprint":
        dataset.frames[0].mask.write_bytes(dataset.frames[0].mask.read_bytes() + b"more")
    with pytest.raises(InputError, match=f"another {what}"):
        plan_folds(tmp_path / "folds", dataset, recipe, seed, folds)


def test_a_trained_fold_is_left_alone_and_a_stopped_one_gone_on_with(
    dataset: Any, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, folds = tmp_path / "folds", make_folds(dataset.names, 2, seed=0)
    plan_folds(folder, dataset, recipe, 0, folds)
    (folder / "1" / "model").mkdir(parents=True)
    said: list[str] = []

    step = Loop.train_batch

    def stop_in_the_second_epoch(self, batch):
        if self.epoch == 1:
            raise KeyboardInterrupt
        return step(self, batch)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Loop, "train_batch", stop_in_the_second_epoch)
        train_folds(folder, recipe, folds, said.append)
    assert "fold 1 of 2: trained already" in said
    assert not (folder / "2" / "model").exists()  # the first epoch's is not to be taken for it

    said.clear()
    runs = train_folds(folder, recipe, folds, said.append)
    assert runs == [folder / "1", folder / "2"]
    assert "fold 1 of 2: trained already" in said
    assert any("after epoch 1" in line for line in said)
    assert (folder / "2" / "model" / "config.json").is_file()
    assert not any((folder / "1" / "model").iterdir())
    used = load_recipe(folder / "2" / "recipe.yaml")
    assert used.data.split == (folder / "2.json").resolve()


@pytest.mark.parametrize("begun", [False, True])
def test_a_fold_is_trained_on_the_device_asked_for(
    dataset: Any, recipe: Recipe, tmp_path: Path, begun: bool
) -> None:
    folder, folds = tmp_path / "folds", make_folds(dataset.names, 2, seed=0)
    plan_folds(folder, dataset, recipe, 0, folds)
    if begun:
        (folder / "1").mkdir()
        (folder / "1" / "recipe.yaml").write_text(recipe.to_yaml())
    with pytest.raises(InputError, match="device 'meta' is not available"):
        train_folds(folder, recipe, folds, device="meta")


def test_each_frame_is_reviewed_by_the_model_that_has_not_seen_it(
    dataset: Any, model_directory: Path, tmp_path: Path
) -> None:
    """The model planted for a fold says one class, another for each fold, wherever it looks."""
    folds = make_folds(dataset.names, 3, seed=0)
    for number in (1, 2, 3):
        segmenter = load(model_directory, device="cpu")
        classifier = segmenter.network.decoder.classifier
        assert classifier.bias is not None
        with torch.no_grad():
            classifier.weight.zero_()
            classifier.bias.copy_(20.0 * torch.eye(5)[number])
        save_model(
            tmp_path / str(number), segmenter.network.state_dict(), segmenter.config,
            segmenter.classes,
        )  # fmt: skip
    parts = parts_of_folds(tmp_path, dataset, folds, "cpu")
    suspects = list(find_suspects(parts, io.BytesIO(), top=0).in_order())
    assert sorted(suspect.name for suspect in suspects) == sorted(dataset.names)
    for suspect in suspects:
        assert suspect.fold is not None
        assert suspect.name in folds[suspect.fold - 1].held_out
        assert suspect.name not in folds[suspect.fold - 1].train
        # Only where its own fold's class is drawn does that model agree.
        label = dataset.label(dataset.names.index(suspect.name))
        assert suspect.mean == pytest.approx((label == suspect.fold).mean(), abs=0.1)
