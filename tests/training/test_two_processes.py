"""torchrun with two CPU processes trains as one process does."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import dashseg
from dashseg.config import Recipe
from dashseg.errors import InputError
from dashseg.training.run import resume_run, train_run

# Augmentation draws the same for a frame wherever it is trained on; dropout and bonnets do not, and
# are left out. Adam's first steps go by a gradient's sign, which float error turns where it is next
# to nothing: at a learning rate of nothing the losses and gradients themselves can be compared.
SAME = (
    "model.aspp.dropout=0", "loss.class_weights=enet", "training.ema_decay=0.9",
    "optimizer.schedule=constant", "training.gradient_clip=1", "augment.flip=0.5",
    "augment.scale=[0.7, 1.5]", "augment.rotate=5", "augment.distort.share=0.5",
    "augment.hue=0.05", "augment.brightness=0.3", "augment.noise=0.03", "augment.blur=0.3",
    "augment.dropout.share=0.3", "augment.night.share=0.3", "augment.rain.share=0.3",
    "augment.fog.share=0.3",
)  # fmt: skip
STILL = "optimizer.learning_rate=1e-9"
PROGRAM = Path(dashseg.__file__).with_name("__main__.py")


def _rows(root):
    with (root / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Callable[..., Recipe], scenes: Path
):
    """Runs of two epochs on 15 frames, judged on 5: by one process, and by two."""
    folder = tmp_path_factory.mktemp("processes")
    names = sorted(path.stem for path in (scenes / "imgs").glob("*.png"))
    split = folder / "split.json"
    split.write_text(json.dumps({"train": names[:15], "val": names[15:]}))
    recipe = tiny_recipe(*SAME, STILL, f"data.split={split}")
    train_run(recipe, folder / "one", say=lambda text: None)
    (folder / "recipe.yaml").write_text(recipe.to_yaml())
    # Here with torchrun itself; later with its launcher alone.
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = ["--recipe", str(folder / "recipe.yaml"), "--runs", str(folder), "--name", "two"]
    done = subprocess.run(
        [*torchrun, "-m", "dashseg", "train", *arguments],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, done


def _assert_alike(ours, theirs, **tolerance):
    for column in ("train_loss", "val_loss", "val_miou", "learning_rate"):
        values = [[float(row[column]) for row in rows] for rows in (ours, theirs)]
        assert values[0] == pytest.approx(values[1], **tolerance), column


def _mean_gradients(root):
    """Adam's running mean of each parameter's gradient."""
    checkpoint = torch.load(root / "checkpoints/last.ckpt", weights_only=True)
    return [state["exp_avg"] for state in checkpoint["optimizer"]["state"].values()]


def test_two_processes_have_the_losses_metrics_and_gradients_of_one(both: Any) -> None:
    folder, _ = both
    ours, theirs = _rows(folder / "two"), _rows(folder / "one")
    assert [row["step"] for row in ours] == [row["step"] for row in theirs] == ["3", "6"]
    _assert_alike(ours, theirs, rel=2e-5)
    ours, theirs = (_mean_gradients(folder / name) for name in ("two", "one"))
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine - other).norm() <= 1e-2 * other.norm() + 1e-7
    ours, theirs = (load_file(folder / name / "model/model.safetensors") for name in ("two", "one"))
    for key, value in theirs.items():  # batch norm's statistics, of all frames
        assert torch.allclose(ours[key].float(), value.float(), rtol=1e-4, atol=1e-5), key


def test_only_the_first_process_writes_and_prints(both: Any) -> None:
    folder, done = both
    assert done.stdout.count("training on 15 frames") == 1
    assert done.stderr.count("epoch 2/2 step 3/3") == 1
    files = {path.name for path in (folder / "two").rglob("*")}
    assert not [name for name in files if name.endswith(".tmp")]
    assert {"last.ckpt", "previous.ckpt", "best.ckpt", "metrics.json"} <= files


def test_a_run_started_on_two_processes_can_resume_on_one(both: Any, tmp_path: Path) -> None:
    folder, _ = both
    changes = ["training.epochs=4", "optimizer.learning_rate=1e-4"]  # now it learns
    for name in ("one", "two"):
        root = shutil.copytree(folder / name, tmp_path / name)
        resume_run(root, changes, say=lambda text: None)
    ours, theirs = _rows(tmp_path / "two"), _rows(tmp_path / "one")
    _assert_alike(ours, theirs, rel=0.02)
    assert float(ours[3]["train_loss"]) < float(ours[1]["train_loss"])


def test_two_processes_resume_from_the_checkpoint_that_the_first_one_chooses(
    both: Any, tmp_path: Path, forks: Any
) -> None:
    folder, _ = both
    root = shutil.copytree(folder / "one", tmp_path / "run")
    last = root / "checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:-1000])  # damaged: the first one sets it aside
    torchrun = Path(__file__).with_name("torchrun.py")
    arguments = ("train", "--resume", root, "--set", "training.epochs=3")
    done = forks.run(torchrun, 0, PROGRAM, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("resuming") == 1 and "after epoch 1" in done.stdout
    assert [row["epoch"] for row in _rows(root)] == ["0", "1", "2"]
    assert not list(root.glob(".*"))


@pytest.fixture(params=[0, 1])
def one_of_two(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """As torchrun tells each of two processes which of them it is."""
    place = {"RANK": request.param, "LOCAL_RANK": request.param, "WORLD_SIZE": 2}
    for name, value in {**place, "LOCAL_WORLD_SIZE": 2, "TORCHELASTIC_RUN_ID": "none"}.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.usefixtures("one_of_two")
def test_fewer_validation_frames_than_processes_are_an_error(
    tmp_path: Path, scenes: Path, tiny_recipe: Callable[..., Recipe]
) -> None:
    names = sorted(path.stem for path in (scenes / "imgs").glob("*.png"))
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": names[:15], "val": names[15:16]}))
    with pytest.raises(InputError, match="1 validation frames for 2 processes: each process needs"):
        train_run(tiny_recipe(f"data.split={split}"), tmp_path / "run", say=lambda text: None)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("one_of_two")
def test_a_batch_that_two_cannot_share_is_an_error(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe]
) -> None:
    with pytest.raises(InputError, match="batch_size is 5, which 2 processes cannot share"):
        train_run(tiny_recipe("training.batch_size=5"), tmp_path / "run", say=lambda text: None)
    assert not (tmp_path / "run").exists()
