"""Frames without labels join batches, and learn from a teacher or from the run's own average."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from dashseg.config import AugmentConfig, DataConfig, InputConfig, Recipe, TeacherConfig
from dashseg.errors import InputError
from dashseg.images import read_image
from dashseg.labels import COMMA10K
from dashseg.training.augment import Augment, Draws
from dashseg.training.loop import Loop
from dashseg.training.processes import Processes
from dashseg.training.run import Interrupted, resume_run, train_run
from dashseg.training.teacher import pseudo_label_loss
from dashseg.training.unlabelled import MixedBatches, open_unlabelled

INPUT = InputConfig(size=(32, 48))


def test_each_batch_has_its_share_and_every_frame_its_turn() -> None:
    order, seen = MixedBatches(10, 7, 0.4, 5, seed=3), Counter[int]()
    assert len(order) == 3 and len(order.places) == 2
    for epoch in range(7):  # 42 draws: six passes over the unlabelled frames
        order.begin(epoch)
        batches = list(order)
        assert all((batch[i] >= 10) == (i in order.places) for batch in batches for i in range(5))
        labelled = [number for batch in batches for number in batch if number < 10]
        assert len({*labelled}) == len(labelled) == 9
        seen.update(number for batch in batches for number in batch if number >= 10)
    assert seen == Counter({number: 6 for number in range(10, 17)})


def test_a_resumed_epoch_has_the_batches_that_were_left() -> None:
    order = MixedBatches(40, 7, 0.5, 4, seed=3)
    order.begin(2)
    whole = list(order)
    again = MixedBatches(40, 7, 0.5, 4, seed=3)
    again.begin(2, 8)
    assert list(again) == whole[8:]
    again.begin(3)
    assert list(again) != whole


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_processes_share_the_batches_of_one(share: float) -> None:
    one = MixedBatches(40, 7, share, 8, seed=1)
    parts = [MixedBatches(40, 7, share, 8, 1, Processes(rank, 2)) for rank in range(2)]
    joined = [a + b for a, b in zip(*parts, strict=True)]
    assert joined == list(one)
    counts = [len(part.places) for part in parts]
    assert max(counts) - min(counts) <= 1 and sum(counts) == len(one.places)
    assert [*parts[0].places, *(place + 4 for place in parts[1].places)] == one.places


@pytest.mark.parametrize(("labelled", "size"), [(40, 1), (2, 8)])
def test_a_batch_without_room_is_an_error(labelled: int, size: int) -> None:
    with pytest.raises(InputError, match=r"training\.batch_size"):
        MixedBatches(labelled, 7, 0.5, size, 0)


def write_film(path: Path, count: int = 12) -> Path:
    """Frames of one grey each, 10 levels apart."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for number in range(count):
            pixels = np.full((64, 96, 3), 40 + 10 * number, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def unlabelled(*sources: Path, **settings: Any) -> Any:
    config = DataConfig(unlabelled=tuple(map(str, sources)), **settings)
    return open_unlabelled(config, INPUT, COMMA10K)


def test_folders_and_every_nth_frame_of_videos_are_found(scenes: Path, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4")
    frames = unlabelled(scenes / "imgs", film, video_step=5)
    files = sorted((scenes / "imgs").iterdir())
    assert len(frames) == len({*frames.names}) == len(files) + 3
    assert np.array_equal(frames[1].image, read_image(files[1]))
    greys = [frames[len(files) + i].image for i in range(3)]
    assert {grey.shape for grey in greys} == {(32, 48, 3)}
    assert [grey.mean() for grey in greys] == pytest.approx([40, 90, 140], abs=3)
    for index in (0, len(files)):
        label = frames[index].label
        assert (label == 255).all() and label.shape == frames[index].image.shape[:2]
        assert np.array_equal(frames.label(index), label)
    others = unlabelled(scenes / "imgs", film, video_step=4), unlabelled(film, video_step=5)
    assert len({frames.fingerprint(), *(other.fingerprint() for other in others)}) == 3
    chosen = frames.select([frames.names[-1], frames.names[0]], "some")
    assert chosen.names == (frames.names[0], frames.names[-1])
    assert unlabelled() is None


def test_what_has_no_frames_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "film.mp4").write_bytes(b"no film")
    for name, problem in (
        ("notes.txt", "neither a folder nor a video"),
        ("none", "no such folder"),
        ("empty", "no images"),
        ("film.mp4", "not a video"),
    ):
        with pytest.raises(InputError, match=f"{name}: {problem}"):
            unlabelled(tmp_path / name)


@pytest.mark.parametrize(("frames", "masks"), [("imgs", "masks"), ("images", "masks")])
def test_a_data_set_with_its_masks_is_an_error(tmp_path: Path, frames: str, masks: str) -> None:
    for name in (frames, masks):
        (tmp_path / name).mkdir()
        Image.new("RGB", (48, 32)).save(tmp_path / name / "a.png")
    with pytest.raises(InputError, match="masks/ holds masks"):
        unlabelled(tmp_path)
    assert len(unlabelled(tmp_path / frames)) == 1


def test_the_loss_is_cross_entropy_with_confident_classes_over_all_pixels() -> None:
    rng = np.random.default_rng(0)
    own, taught = (rng.normal(0, 2, (2, 4, 5, 6)) for _ in range(2))
    q, p = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (taught, own))
    picked = np.take_along_axis(p, q.argmax(1)[:, None], 1)[:, 0]
    sure = q.max(1) >= 0.8
    assert 0 < sure.sum() < sure.size
    tensors = torch.from_numpy(own).float(), torch.from_numpy(taught).float()
    ours = pseudo_label_loss(*tensors, TeacherConfig(confident=0.8))
    assert ours.item() == pytest.approx((-np.log(picked) * sure).sum() / sure.size, rel=1e-5)
    none = torch.zeros(0, 4, 5, 6, requires_grad=True)  # of a process without such a frame
    pseudo_label_loss(none, torch.zeros(0, 3, 10, 12), TeacherConfig()).backward()
    assert none.grad is not None


STRONG = {
    "flip": 0.5, "scale": (0.6, 1.5), "rotate": 8, "crop": (64, 80), "distort": {"share": 0.5},
}  # fmt: skip
LIGHT = {
    "hue": 0.3, "brightness": 0.4, "noise": 0.1, "blur": 0.5, "dropout": {"share": 1},
    "night": {"share": 0.5}, "fog": {"share": 0.3},
}  # fmt: skip


@pytest.mark.parametrize("geometry", [STRONG, {"flip": 0.5}])
@pytest.mark.parametrize("light", [LIGHT, {"brightness": 0.4, "bonnet": 1}, {}])
def test_the_weak_view_has_the_geometry_of_the_strong_one_and_its_own_light(
    geometry: Any, light: Any
) -> None:
    """Position is painted into the label, so the strong label says where each pixel came from."""
    blue = torch.arange(96).repeat(72, 1) // 12 * 25  # bands of 12 columns
    image = torch.stack([torch.zeros_like(blue), torch.full_like(blue, 200), blue])
    image = image.byte().repeat(4, 1, 1, 1)
    label = (blue // 25 % 5).repeat(4, 1, 1)
    label[2] = 255
    config = AugmentConfig.model_validate({**geometry, **light})
    augment = Augment(config, (0.5, 0.5, 0.5))
    places = torch.tensor([0, 2])
    draws = [Draws.of_batch((7,), range(4)) for _ in range(2)]
    strong, moved, weak, _ = augment.views(image, label, draws[0], places)
    want = augment(image, label, draws[1])
    assert torch.equal(strong, want[0]) and torch.equal(moved, want[1])
    assert weak is not None and weak.shape == strong[places].shape
    inside = moved[0] != 255
    bands = (weak[0, 2] / 25).round()[inside] % 5
    assert (bands == moved[0][inside]).float().mean() > 0.9
    green = weak[:, 1]
    assert (((green - 200).abs() < 0.01) | ((green - 127.5).abs() < 0.01)).all()
    assert (moved[2] == 255).all()


@pytest.fixture
def recipe_of(tiny_recipe: Callable[..., Recipe], scenes: Path, tmp_path: Path) -> Any:
    """A recipe with half of each batch from a folder and a film, and further changes."""
    sources = f"data.unlabelled=[{scenes / 'imgs'}, {write_film(tmp_path / 'film.mp4')}]"
    half = (sources, "training.batch_size=6", "training.checkpoint_steps=1", "training.epochs=1")

    def make(*changes: str) -> Recipe:
        return tiny_recipe(*half, *changes)

    return make


OWN = ("training.ema_decay=0.9", "loss.teacher.confident=0.1", "augment.brightness=0.4")


def test_a_stopped_run_ends_with_the_weights_of_one_never_stopped(
    tmp_path: Path, recipe_of: Any, stop_before: Any
) -> None:
    recipe, said = recipe_of(*OWN), list[str]()
    train_run(recipe, tmp_path / "whole", say=said.append)
    assert any("2 frames are held out" in line for line in said)
    assert any("18 frames and 20 without labels" in line for line in said)
    stop_before(3, tmp_path / "parts", recipe)
    resume_run(tmp_path / "parts", say=lambda text: None)
    ours, theirs = (
        torch.load(tmp_path / root / "checkpoints/last.ckpt")["model"]
        for root in ("parts", "whole")
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("taught", [False, True])
def test_unlabelled_frames_reach_the_loss_of_their_teacher(
    tmp_path: Path, recipe_of: Any, model_directory: Path, taught: bool
) -> None:
    """Measured at the objective: its loss less that of the labelled frames is the teacher's."""
    more = (f"loss.teacher.model={model_directory}",) if taught else OWN
    recipe, calls = recipe_of("model.aspp.dropout=0", *more), []

    def watch(self: Loop, item: Any) -> Any:
        assert [bool((label == 255).all()) for label in item.label] == [False, True] * 3
        image, label, weak, _ = self.augmented(item, self.batch)
        given = self.taught(image, weak)
        assert given is not None and len(given) == (6 if taught else 3)
        with torch.no_grad():
            logits = self.network.coarse_logits(self.as_input(image))
            loss = self.model(self.as_input(image), label, given, self.learning_alone)
        plain = F.cross_entropy(
            self.network(self.as_input(image)), item.label.long(), ignore_index=255
        )
        if taught:
            given = F.interpolate(given, logits.shape[-2:], mode="bilinear")
            more = -(given.softmax(1) * logits.log_softmax(1)).sum(1).mean()
        else:
            more = F.cross_entropy(logits[1::2], given.argmax(1))  # all are confident
        calls.append((loss.item() - plain.item(), more.item()))
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Loop, "train_batch", watch)
        train_run(recipe, tmp_path / "run", say=lambda text: None)
    ((ours, want),) = calls
    assert ours == pytest.approx(want, rel=1e-3)


def test_without_a_teacher_and_an_average_it_is_an_error(recipe_of: Any) -> None:
    with pytest.raises(InputError, match=r"data\.unlabelled needs a teacher"):
        recipe_of()
