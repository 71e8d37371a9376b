"""Soft labels: their loss is NumPy's, and a stopped run resumes with the same teacher."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dashseg.config import InputConfig, Recipe, TeacherConfig
from dashseg.errors import InputError
from dashseg.inference import load
from dashseg.inference.segmenter import Segmenter
from dashseg.labels import COMMA10K, Classes
from dashseg.training.run import resume_run, train_run
from dashseg.training.teacher import Teacher, open_teacher, soft_label_loss

CPU = torch.device("cpu")


def softmax(logits: Any) -> Any:
    powers = np.exp(np.asarray(logits, np.float64))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("confident", [0.0, 0.7])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_loss_is_the_cross_entropy_of_softened_probabilities(
    temperature: float, confident: float
) -> None:
    rng = np.random.default_rng(0)
    own, taught = (rng.normal(0, 2, (2, 4, 5, 6)).astype(np.float32) for _ in range(2))
    config = TeacherConfig(temperature=temperature, confident=confident)
    target, log_p = softmax(taught / temperature), np.log(softmax(own / temperature))
    pixels = -(target * log_p).sum(1) * temperature**2  # Hinton et al. (2015), section 2
    sure = softmax(taught).max(1) >= confident
    assert sure.all() == (confident == 0) and sure.any()
    ours = soft_label_loss(torch.from_numpy(own), torch.from_numpy(taught), config)
    assert ours.item() == pytest.approx((pixels * sure).mean(), rel=1e-5)


def test_its_gradient_is_the_difference_of_the_probabilities() -> None:
    own, taught = (torch.randn(2, 4, 5, 6, generator=torch.Generator()) for _ in range(2))
    leaf = own.requires_grad_()
    soft_label_loss(leaf, taught, TeacherConfig()).backward()
    want = (softmax(own.detach()) - softmax(taught)) / (2 * 5 * 6)
    assert leaf.grad is not None
    assert np.allclose(leaf.grad, want, atol=1e-7)


def test_a_teacher_of_another_stride_is_resized_to_the_logits() -> None:
    own, taught = torch.randn(1, 3, 8, 12), torch.randn(1, 3, 1, 1)
    ours = soft_label_loss(own, taught, TeacherConfig())
    want = soft_label_loss(own, taught.expand(1, 3, 8, 12), TeacherConfig())
    assert ours.item() == pytest.approx(want.item())


def test_the_teacher_sees_the_frame_in_its_own_normalisation(model_directory: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 41, 67, 3), np.uint8)  # an odd size
    teacher = Teacher(load(model_directory, device="cpu"), CPU)
    taught = teacher(torch.from_numpy(frames).permute(0, 3, 1, 2).float())
    want = torch.as_tensor(load(model_directory, device="cpu").runtime(frames))
    assert torch.allclose(taught, want, atol=1e-5) and not taught.requires_grad


@pytest.fixture
def recipe_of(tiny_recipe: Callable[..., Recipe], tmp_path: Path, model_directory: Path) -> Any:
    """A recipe with a teacher in `tmp_path`/teacher, and further changes."""
    shutil.copytree(model_directory, tmp_path / "teacher")

    def make(*changes: str) -> Recipe:
        teacher = f"loss.teacher.model={tmp_path / 'teacher'}", "loss.teacher.temperature=2"
        return tiny_recipe(*teacher, *changes)

    return make


def weights(root: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(root / "checkpoints/last.ckpt")["model"]
    return state


def test_a_stopped_run_ends_with_the_weights_of_one_never_stopped(
    tmp_path: Path, recipe_of: Any, stop_before: Any
) -> None:
    recipe = recipe_of(
        "training.accumulate=2", "training.precision=bfloat16", "training.checkpoint_steps=1",
        "training.ema_decay=0.9", "augment.flip=0.5", "training.epochs=1",
    )  # fmt: skip
    train_run(recipe, tmp_path / "whole", say=lambda text: None)
    stop_before(3, tmp_path / "parts", recipe)
    resume_run(tmp_path / "parts", say=lambda text: None)
    ours, theirs = weights(tmp_path / "parts"), weights(tmp_path / "whole")
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert not [key for key in theirs if "teacher" in key]

    without = recipe.model_copy(
        update={"loss": recipe.loss.model_copy(update={"teacher": TeacherConfig()})}
    )
    train_run(without, tmp_path / "untaught", say=lambda text: None)
    untaught = weights(tmp_path / "untaught")
    assert any(not torch.equal(untaught[key], theirs[key]) for key in theirs)


def test_another_teacher_cannot_join_a_resumed_run(
    tmp_path: Path, recipe_of: Any, stop_before: Any
) -> None:
    root, path = tmp_path / "run", tmp_path / "teacher/model.safetensors"
    stop_before(2, root, recipe_of("training.checkpoint_steps=1"))
    with pytest.raises(InputError, match=r"the run had a teacher; .*cannot change on --resume"):
        resume_run(root, ["loss.teacher.model=null"], say=lambda text: None)
    changed = load_file(path)
    changed["decoder.classifier.bias"] += 1
    save_file(changed, path)
    files = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"with other weights; .*cannot change on --resume"):
        resume_run(root, say=lambda text: None)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == files


def test_a_teacher_of_other_classes_is_an_error_that_lists_both(model_directory: Path) -> None:
    config = TeacherConfig(model=str(model_directory))
    two = Classes(("free", "taken"), ((0, 0, 0), (255, 255, 255)))
    message = r"loss\.teacher\.model: .*road, lane markings.*; frames has free, taken"
    with pytest.raises(InputError, match=message):
        open_teacher(config, two, "frames", CPU)
    assert open_teacher(TeacherConfig(), two, "frames", CPU) is None


def test_an_exported_model_or_none_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"loss\.teacher\.model: .*no such model"):
        open_teacher(TeacherConfig(model=str(tmp_path / "none")), COMMA10K, "frames", CPU)
    runtime: Any = SimpleNamespace(size=None)
    with pytest.raises(InputError, match=r"is an exported model"):
        Teacher(Segmenter(runtime, InputConfig(), COMMA10K, "m.onnx"), CPU)
