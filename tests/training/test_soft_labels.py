"""Predictions from a pack are the teacher's, moved as the frame is, and teach as it would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dashseg.cli import main
from dashseg.config import AugmentConfig, InputConfig, Recipe, TeacherConfig
from dashseg.data import open_dataset
from dashseg.data.pack.dataset import PackDataset, open_pack
from dashseg.data.pack.predictions import encode
from dashseg.data.partial import Relabelled
from dashseg.errors import InputError
from dashseg.run_directory import RunDirectory
from dashseg.training.augment import Augment, Draws
from dashseg.training.augment.geometry import draw_geometry
from dashseg.training.batches import EveryFrame, from_device, from_files, from_memory
from dashseg.training.frames import WorkingFrames
from dashseg.training.loop import Loop
from dashseg.training.plan import make_plan, new_network, open_frames
from dashseg.training.processes import ALONE
from dashseg.training.run import resume_run
from dashseg.training.soft_labels import SoftLabels, decode, stack_codes, stored_predictions
from dashseg.training.teacher import soft_label_loss

CPU = torch.device("cpu")


def softmax(logits: Any) -> NDArray[np.float64]:
    values = np.asarray(logits, np.float64)
    powers = np.exp(values - values.max(1, keepdims=True))
    result: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return result


@pytest.mark.parametrize("temperature", [1, 4])
def test_storage_keeps_probabilities_and_the_most_likely_class(temperature: int) -> None:
    logits = np.random.default_rng(0).normal(0, 5, (2, 5, 40, 60)).astype(np.float32)
    soft = decode(torch.from_numpy(encode(logits)))
    assert soft.known.all()
    error = softmax(soft.logits / temperature) - softmax(logits / temperature)
    assert np.abs(error).max() < 0.01 and np.abs(error).mean() < 1e-3
    assert (soft.logits.argmax(1).numpy() == logits.argmax(1)).mean() > 0.9999
    assert not decode(torch.full((1, 5, 2, 2), 255, dtype=torch.uint8)).known.any()


def test_smaller_frames_of_a_batch_have_no_prediction_in_their_border() -> None:
    """Logits that rise with the column are interpolated exactly."""
    rise = np.zeros((2, 12, 16), np.float32)
    rise[0] = 0.25 * (4 * np.arange(16) + 1.5)  # 0.25 a pixel, at centres of stride 4
    small = encode(rise[:, :7, :9])
    soft = decode(stack_codes([encode(rise), small], [(48, 64), (27, 34)]))
    assert soft.known[0].all() and soft.known[1].sum() == 7 * 8  # 27/4 and 34/4, by centres
    assert soft.known[1, :7, :8].all()
    alone = decode(torch.from_numpy(encode(rise))[None]).logits
    assert torch.equal(soft.logits[:1], alone)
    # The small map spans its frame: 9 columns are 34 pixels wide.
    centres = (np.arange(1, 8) * 4 + 2) * 9 / 34 - 0.5
    want = 0.25 * (4 * centres + 1.5)
    got = (soft.logits[1, 0] - soft.logits[1, 1])[3, 1:8].numpy()
    assert np.allclose(got, want, atol=0.15)  # twice the storage's rounding


class Quarters(Draws):
    """Draws that are always a quarter of the way."""

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.full((len(self), *shape), low + (high - low) / 4)


def test_flip_and_crop_are_those_of_numpy() -> None:
    logits, known = torch.randn(2, 3, 16, 24), torch.rand(2, 16, 24) > 0.1
    draws = Quarters.of_batch((0,), range(2))
    flip = AugmentConfig(flip=0.5)
    moved = draw_geometry((64, 96), flip, draws, CPU).warp_soft(SoftLabels(logits, known))
    assert np.array_equal(moved.logits, logits.numpy()[..., ::-1])
    assert np.array_equal(moved.known, known.numpy()[..., ::-1])
    # A quarter of the slack, 32 by 48 pixels, is 2 by 3 cells from the crop's end of the frame.
    both = AugmentConfig(flip=0.5, crop=(32, 48))
    moved = draw_geometry((64, 96), both, draws, CPU).warp_soft(SoftLabels(logits, known))
    y, x = 8 - 2, 12 - 3
    want = logits.numpy()[..., ::-1][..., y : y + 8, x : x + 12]
    assert np.allclose(moved.logits, want, atol=1e-4)
    assert np.array_equal(moved.known, known.numpy()[..., ::-1][..., y : y + 8, x : x + 12])


STRONG = {"flip": 0.5, "scale": (0.5, 1.5), "rotate": 9, "crop": (64, 80), "distort": {"share": 1}}


@pytest.mark.parametrize("stride", [1, 4])
def test_predictions_are_at_the_places_that_the_image_shows(stride: int) -> None:
    """Position is painted into image and predictions."""
    y, x = torch.meshgrid(torch.arange(72.0), torch.arange(96.0), indexing="ij")
    place = torch.stack([x, y, x]).expand(8, -1, -1, -1)
    cells = torch.nn.functional.avg_pool2d(place, stride)  # positions of the cells' centres
    config = AugmentConfig.model_validate(STRONG)
    geometry = draw_geometry((72, 96), config, Draws.of_batch((3,), range(8)), CPU)
    image, _, hidden = geometry.warp(place, torch.zeros(8, 72, 96, dtype=torch.long))
    soft = geometry.warp_soft(SoftLabels(cells, torch.ones(8, *cells.shape[2:], dtype=torch.bool)))
    assert soft.logits.shape[2:] == (64 // stride, 80 // stride) and hidden is not None
    want = torch.nn.functional.avg_pool2d(image, stride)
    shown = 1 - torch.nn.functional.avg_pool2d(hidden[:, None].float(), stride)[:, 0]
    assert soft.known[shown == 1].all() and not soft.known[shown == 0].any()
    inner = (want[:, 0] - 47.5).abs().lt(44) & (want[:, 1] - 35.5).abs().lt(32) & (shown == 1)
    assert inner.float().mean() > 0.3
    assert (soft.logits - want).abs().amax(1)[inner].max() < (0.01 if stride == 1 else 0.3)


def test_no_prediction_in_holes_and_on_pasted_bonnets_and_light_changes_none() -> None:
    image = torch.randint(0, 256, (4, 3, 64, 96), dtype=torch.uint8)
    label = torch.zeros(4, 64, 96, dtype=torch.long)
    label[:2, 48:] = 4  # my car
    soft = SoftLabels(torch.randn(4, 5, 8, 12), torch.ones(4, 8, 12, dtype=torch.bool))
    light = {"hue": 0.3, "brightness": 0.4, "noise": 0.1, "fog": {"share": 1}}
    config = AugmentConfig.model_validate({**light, "bonnet": 1, "dropout": {"share": 0.5}})
    draws = Draws.of_batch((1,), range(4))
    _, moved, _, kept = Augment(config, (0.5,) * 3).views(image, label, draws, None, soft)
    assert kept is not None and torch.equal(kept.logits, soft.logits)
    changed = (moved != label).reshape(4, 8, 8, 12, 8).any(4).any(2)  # cells of 8 by 8
    assert 0.05 < changed.float().mean() < 0.9 and (moved[2:] == 4).any()
    assert torch.equal(kept.known, ~changed)


def test_pixels_without_a_prediction_add_nothing_to_the_loss() -> None:
    rng = np.random.default_rng(0)
    own, taught = (rng.normal(0, 2, (2, 4, 5, 6)).astype(np.float32) for _ in range(2))
    known = rng.random((2, 5, 6)) > 0.4
    leaf = torch.from_numpy(own).requires_grad_()
    soft = SoftLabels(torch.from_numpy(taught), torch.from_numpy(known))
    loss = soft_label_loss(leaf, soft, TeacherConfig(temperature=2, confident=0.5))
    loss.backward()
    pixels = -(softmax(taught / 2) * np.log(softmax(own / 2))).sum(1) * 4
    counts = known & (softmax(taught).max(1) >= 0.5)
    assert loss.item() == pytest.approx((pixels * counts).mean(), rel=1e-5)
    assert leaf.grad is not None
    assert np.array_equal(leaf.grad.abs().sum(1).numpy() > 0, counts)


@pytest.fixture(scope="module")
def packs(
    scenes: Path, model_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The scenes with a teacher's predictions, with labels and without; and without predictions."""
    folder = tmp_path_factory.mktemp("packs")
    predicted = ["--predictions", str(model_directory), "--device", "cpu"]
    small, squashed = ["--size", "64x96"], ["--size", "64x96", "--squash"]
    for name, arguments in {
        "labelled": [str(scenes), *squashed, *predicted],
        "more": [str(scenes / "imgs"), *small, *predicted, "--unlabelled"],
        "bare": [str(scenes), *squashed],
    }.items():
        root, *options = arguments
        out = str(folder / name)
        assert main(["data", "pack", root, out, "--workers", "1", *options]) == 0
    return {name: str(folder / name) for name in ("labelled", "more", "bare")}


def start(recipe: Recipe, folder: Path) -> Loop:
    frames = open_frames(recipe)
    network = new_network(frames.recipe, frames.train.classes)
    return Loop(make_plan(frames, network, CPU, ALONE, lambda line: None), RunDirectory(folder))


def test_a_step_from_a_pack_is_the_one_beside_its_teacher(
    packs: dict[str, str], tiny_recipe: Callable[..., Recipe], model_directory: Path, tmp_path: Path
) -> None:
    """With no augmentation, frames of two sizes, half of them without labels."""
    outcomes = []
    for teacher in (model_directory, "pack"):
        recipe = tiny_recipe(
            f"loss.teacher.model={teacher}", "loss.teacher.temperature=2", "model.aspp.dropout=0",
            f"data.root={packs['labelled']}", f"data.unlabelled=[{packs['more']}]",
            "loss.teacher.weight=3",
        )  # fmt: skip
        loop = start(recipe, tmp_path / "run")
        loop.plan.order.begin(0)
        batch = next(iter(loop.plan.train_batches))
        assert (batch.label[1::2] == 255).all() and not (batch.label[::2] == 255).all()
        image, label, weak, soft = loop.augmented(batch, 0)
        taught = loop.taught(image, weak) if soft is None else soft
        loss = loop.model(loop.as_input(image), label, taught, loop.learning_alone)
        plain = loop.model(loop.as_input(image), label)
        loss.backward()
        gradients = [p.grad for p in loop.network.parameters() if p.grad is not None]
        outcomes.append((loss - plain, torch.cat([g.flatten() for g in gradients])))
        sizes = batch.sizes
    (beside, one), (packed, other) = outcomes
    assert sizes is None or len({*map(tuple, sizes)}) == 2
    assert packed.item() == pytest.approx(beside.item(), rel=2e-3)
    assert (one - other).norm() < 0.01 * one.norm()


def test_every_place_that_frames_are_read_from_gives_the_same(packs: dict[str, str]) -> None:
    pack, _ = open_pack(Path(packs["labelled"]))
    frames = WorkingFrames(pack, InputConfig(size=(64, 96), resize="squash"), predicted=True)
    order = EveryFrame(6, 3)
    want = [np.stack([pack.prediction(i) for i in (3 * b, 3 * b + 1, 3 * b + 2)]) for b in (0, 1)]
    bare = WorkingFrames(pack, frames.config)
    assert frames.nbytes() == bare.nbytes() + len(pack) * want[0][0].size
    for read in (
        lambda: from_memory(frames, order, pin=False),
        lambda: from_device(frames, order, CPU),
        lambda: from_files(frames, order, pin=False, workers=0),
    ):
        for batch, codes in zip(read(), want, strict=True):
            assert batch.codes is not None and np.array_equal(batch.codes, codes)
    assert next(iter(from_memory(bare, order, pin=False))).codes is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["data.root={scenes}"], "is no pack: dashseg data pack .* --predictions MODEL"),
        (["data.root={bare}"], "bare has no predictions: pack the data again"),
        (["data.unlabelled=[{scenes}/imgs]"], "is no pack"),
        (["data.extra=[{{root: {bare}}}]"], "bare has no predictions"),
    ],
)
def test_data_without_predictions_is_an_error_that_names_it(
    changes: list[str], says: str, packs: dict[str, str], scenes: Path, tiny_recipe: Any
) -> None:
    filled = [change.format(scenes=scenes, **packs) for change in changes]
    recipe = tiny_recipe(f"data.root={packs['labelled']}", "loss.teacher.model=pack", *filled)
    with pytest.raises(InputError, match=rf"loss\.teacher\.model=pack: .*{says}"):
        open_frames(recipe)


def test_other_classes_or_two_teachers_are_an_error(packs: dict[str, str]) -> None:
    pack, other = (open_pack(Path(packs[name]))[0] for name in ("labelled", "more"))
    assert isinstance(pack, PackDataset) and pack.predictions is not None
    names = pack.predictions.classes
    hidden = Relabelled(other, pack.classes, bytes([255] * 256), "unlabelled")
    assert stored_predictions([pack, hidden], names) == pack.predictions
    with pytest.raises(InputError, match=r"road, lane markings.*; the training has free, taken"):
        stored_predictions([pack], ("free", "taken"))
    assert other.predictions is not None
    object.__setattr__(other, "predictions", other.predictions.__class__(
        **{**vars(other.predictions), "digest": "another"}
    ))  # fmt: skip
    with pytest.raises(InputError, match=r"with other weights: pack both with one teacher"):
        stored_predictions([pack, hidden], names)


def test_a_pack_by_another_teacher_cannot_join_a_resumed_run(
    packs: dict[str, str], tiny_recipe: Any, stop_before: Any, tmp_path: Path
) -> None:
    recipe = tiny_recipe(
        "loss.teacher.model=pack", f"data.root={packs['labelled']}", "augment.flip=0.5",
        "training.checkpoint_steps=1",
    )  # fmt: skip
    stop_before(2, tmp_path / "run", recipe)
    noted = json.loads((tmp_path / "run/environment.json").read_text())["data"]["teacher"]
    assert noted["model"] == "model" and len(noted["digest"]) == 64
    index = Path(packs["labelled"]) / "pack.json"
    before = index.read_text()
    try:
        index.write_text(before.replace(noted["digest"], "0" * 64))
        with pytest.raises(InputError, match=r"with other weights; .*cannot change on --resume"):
            resume_run(tmp_path / "run", say=lambda text: None)
    finally:
        index.write_text(before)


def test_an_unlabelled_pack_has_the_frames_and_no_labels(
    packs: dict[str, str], scenes: Path
) -> None:
    pack, splits = open_pack(Path(packs["more"]))
    assert len(pack) == len([*(scenes / "imgs").iterdir()]) == len(splits["train"])
    assert pack.sizes == ((64, 85),) and all((pack.label(i) == 255).all() for i in (0, 5))
    labelled = open_dataset(Recipe().data.model_copy(update={"root": packs["labelled"]}))
    assert pack.classes.names == labelled.classes.names
