"""One step and one validation, held to NumPy; whole runs are in test_run.py."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dashseg.config import Recipe
from dashseg.run_directory import RunDirectory
from dashseg.training.batches import Batch
from dashseg.training.loop import Loop
from dashseg.training.plan import make_plan, new_network, open_frames
from dashseg.training.processes import ALONE


@pytest.fixture
def make_loop(tiny_recipe: Callable[..., Recipe], tmp_path: Path):
    """make(*changes, val=batches) -> a loop on the CPU, whose held-out batches may be given."""

    def make(*changes: str, val=None, said=[]) -> Loop:  # noqa: B006
        frames = open_frames(tiny_recipe(*changes))
        network = new_network(frames.recipe)
        plan = make_plan(frames, network, torch.device("cpu"), ALONE, said.append)
        if val is not None:
            object.__setattr__(plan, "val_batches", val)
        return Loop(plan, RunDirectory(tmp_path / "run"))

    return make


def _batch() -> Batch:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.integers(0, 256, (2, 3, 64, 96), dtype=np.uint8))
    label = torch.from_numpy(rng.choice([0, 1, 2, 3, 4, 255], (2, 64, 96)).astype(np.uint8))
    return Batch(image, label)


def _seen_by(loop: Loop, batch: Batch) -> torch.Tensor:
    """What the network is shown when it is trained on a batch."""
    seen: list[torch.Tensor] = []
    network: Any = loop.network
    coarse = network.coarse_logits

    def watched(image: torch.Tensor) -> torch.Tensor:
        seen.append(image)
        logits: torch.Tensor = coarse(image)
        return logits

    network.coarse_logits = watched
    loop.train_batch(batch)
    del network.coarse_logits
    return seen[0]


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_the_network_sees_normalised_pixels_in_the_recipes_channel_order(
    make_loop: Any, channels: str
) -> None:
    loop, batch = make_loop(f"model.input.channels={channels}"), _batch()
    pixels = batch.image.numpy().astype(np.float64) / 255
    if channels == "bgr":
        pixels = pixels[:, ::-1]
    config = loop.recipe.model.input
    mean, std = (np.array(v).reshape(1, 3, 1, 1) for v in (config.mean, config.std))
    want = torch.from_numpy((pixels - mean) / std).float()
    assert torch.allclose(_seen_by(loop, batch), want, atol=1e-5)


def test_augmentation_is_in_full_precision(make_loop: Any) -> None:
    changes = "augment.scale=[0.5, 2]", "augment.hue=0.1"
    full, mixed = (
        _seen_by(make_loop(*changes, f"training.precision={name}"), _batch())
        for name in ("float32", "bfloat16")
    )
    assert mixed.dtype == torch.bfloat16
    assert torch.equal(full.bfloat16(), mixed)


def test_validation_counts_each_pixel_once_and_ignores_weights(make_loop: Any) -> None:
    batch = _batch()
    parts = [Batch(batch.image[i : i + 1], batch.label[i : i + 1]) for i in range(2)]
    loop = make_loop("loss.class_weights=[1, 10, 0.5, 4, 1]", val=parts)
    values = loop.validate()
    with torch.no_grad():
        logits = loop.network(loop.normalise(batch.image))
    want = F.cross_entropy(logits, batch.label.long(), ignore_index=255)
    assert values["val_loss"] == pytest.approx(want.item(), rel=1e-5)
    prediction, label = logits.argmax(1).numpy(), batch.label.numpy()
    ious = []
    for k in range(5):
        hit = ((prediction == k) & (label == k)).sum()
        ious.append(hit / (((prediction == k) & (label != 255)) | (label == k)).sum())
    assert values["val_miou"] == pytest.approx(np.mean(ious), rel=1e-6)


def test_a_frames_score_does_not_depend_on_the_other_frames_of_its_batch(make_loop: Any) -> None:
    rng = np.random.default_rng(0)
    sizes = (64, 96), (40, 96), (64, 96)
    image = torch.from_numpy(rng.integers(0, 256, (3, 3, 64, 96), np.uint8))
    label = torch.from_numpy(rng.integers(0, 5, (3, 64, 96), np.uint8))
    together = [Batch(image, label, sizes)]
    alone = [
        Batch(image[i : i + 1, :, :h, :w], label[i : i + 1, :h, :w])
        for i, (h, w) in enumerate(sizes)
    ]
    scores = [make_loop(val=batches).validate() for batches in (together, alone)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)


def test_tensors_that_processes_reduce_for_a_checkpoint_are_on_the_training_device(
    make_loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NCCL sends nothing that is not on a GPU; "meta" stands for one."""
    shared = []

    def all_reduce(values, reduce_op):
        shared.append(values.device.type)
        return torch.zeros(())

    loop = make_loop()
    monkeypatch.setattr(loop.fabric, "all_reduce", all_reduce)
    loop.loss_sum = loop.loss_sum.to("meta")
    loop.state_dict()
    assert shared == ["meta"]


@pytest.mark.parametrize(("loss", "warned"), [(1.7, True), (1.5, False)])  # ln 5 = 1.609
def test_a_model_worse_than_a_guess_gives_a_warning(
    make_loop: Any, monkeypatch: pytest.MonkeyPatch, loss: float, warned: bool
) -> None:
    said: list[str] = []
    loop = make_loop("training.epochs=1", said=said)
    loop.run.create("", {})
    values = {"val_loss": loss, "val_miou": 0.1}
    monkeypatch.setattr(loop, "validate", lambda: values)
    loop.fit()
    assert any("worse than guessing, 1.61" in line for line in said) == warned


def test_tensorboard_has_the_figures_of_each_epoch(make_loop: Any, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loop = make_loop("training.loggers=[tensorboard]", "training.epochs=1")
    loop.run.create("", {})
    loop.fit()
    events = EventAccumulator(str(tmp_path / "run/tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert tags >= {"train_loss", "val_loss", "val_miou", "val_iou/road", "learning_rate", "epoch"}
    (loss,) = events.Scalars("val_loss")
    assert loss.step == loop.step
    assert loss.value == pytest.approx(loop.history[0]["val_loss"], rel=1e-6)
    assert json.dumps(loop.history)  # plain values, as a checkpoint holds them
