import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dashseg.cli import main
from dashseg.config import Recipe, change_recipe, load_recipe
from dashseg.errors import InputError
from dashseg.inference import load
from dashseg.labels import Classes
from dashseg.run_directory import RunDirectory
from dashseg.training.loop import Loop
from dashseg.training.plan import new_network
from dashseg.training.run import Interrupted, resume_run, train_run


def _rows(root):
    with (root / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Callable[..., Recipe]):
    """A run of two epochs with class weights, averaging and TensorBoard; tests only look at it."""
    recipe = tiny_recipe(
        "loss.class_weights=enet", "training.ema_decay=0.9", "training.loggers=[tensorboard]",
        "augment.flip=0.5", "augment.scale=[0.5, 2]", "augment.crop=[64, 64]",
    )  # fmt: skip
    root = tmp_path_factory.mktemp("runs") / "finished"
    said: list[Any] = []
    train_run(recipe, root, ["dashseg", "train"], said.append)
    return root, recipe, "\n".join(said)


def test_a_run_holds_what_the_contract_says(finished: Any) -> None:
    root, recipe, said = finished
    assert load_recipe(root / "recipe.yaml") == recipe
    assert (root / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((root / "tensorboard").glob("events.out.tfevents.*"))
    environment = json.loads((root / "environment.json").read_text())
    assert environment["command"] == ["dashseg", "train"]
    # PyTorch's own version may have a local part, such as +cpu, that the package's has not.
    assert environment["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert environment["data"]["train"]["images"] == 18
    assert environment["seed"] == 0 and environment["processes"] == 1
    assert environment["resumed"] == []
    for name in ("last", "best"):
        checkpoint = torch.load(root / f"checkpoints/{name}.ckpt", weights_only=True)
        assert checkpoint["step"] in (4, 8)
    assert "class weights: road" in said


def test_metrics_csv_has_a_row_per_epoch(finished: Any) -> None:
    rows = _rows(finished[0])
    assert list(rows[0]) == [
        "epoch", "step", "train_loss", "val_loss", "val_miou", "learning_rate", "images_per_s",
    ]  # fmt: skip
    assert [(row["epoch"], row["step"]) for row in rows] == [("0", "4"), ("1", "8")]
    assert all(0 < float(row["val_loss"]) < 10 for row in rows)


def test_the_model_directory_is_the_best_epochs_average(finished: Any) -> None:
    root, _, _ = finished
    checkpoint = torch.load(root / "checkpoints/best.ckpt", weights_only=True)
    weights = load_file(root / "model/model.safetensors")
    for key, value in weights.items():
        assert torch.equal(value, checkpoint["average"]["network"][key])
    moved = checkpoint["model"]["network.encoder.conv1.weight"]
    assert not torch.equal(weights["encoder.conv1.weight"], moved)  # averaged, not the last step's
    config = json.loads((root / "model/config.json").read_text())
    assert [entry["name"] for entry in config["classes"]][1] == "lane markings"
    assert load(root).run == root


def test_a_run_of_several_data_sets_says_where_they_lie(
    tmp_path: Path,
    scenes: Path,
    tiny_recipe: Callable[..., Recipe],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(scenes.parent)
    extra = f"[{{root: {scenes.name}, repeat: 2}}, {{root: 'synthetic:2:5'}}]"
    recipe = tiny_recipe("training.epochs=1", f"data.extra={extra}")
    train_run(recipe, tmp_path / "run")
    values = load_recipe(tmp_path / "run/recipe.yaml").data
    assert [part.root for part in values.extra] == [str(scenes), "synthetic:2:5"]
    environment = json.loads((tmp_path / "run/environment.json").read_text())
    assert environment["data"]["train"]["images"] == 18 + 2 * 18 + 2
    assert environment["data"]["val"]["images"] == 2


def test_a_taken_name_is_an_error_and_loses_nothing(finished: Any) -> None:
    root, recipe, _ = finished
    before = (root / "checkpoints/last.ckpt").read_bytes()
    with pytest.raises(InputError, match=r"exists: give this run another --name.*--resume"):
        train_run(recipe, root)
    assert (root / "checkpoints/last.ckpt").read_bytes() == before


def test_a_run_that_claimed_the_name_meanwhile_is_kept(tmp_path: Path) -> None:
    first, second = RunDirectory(tmp_path / "run"), RunDirectory(tmp_path / "run")
    first.check_free()
    second.check_free()
    first.create("first", {})
    with pytest.raises(InputError, match=r"exists: give this run another --name"):
        second.create("second", {})
    assert first.recipe.read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_empty_folder_becomes_a_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    RunDirectory(tmp_path / "run").create("recipe", {})
    assert (tmp_path / "run/recipe.yaml").read_text() == "recipe"


def test_a_run_is_trained_by_one_process_at_a_time(
    finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashseg.run_directory.LOCK_PATIENCE", 0.2)
    root, _, _ = finished
    with (
        RunDirectory(root).held(),
        pytest.raises(InputError, match="is being trained or evaluated by another process"),
    ):
        resume_run(root, ["training.epochs=3"], say=lambda text: None)
    assert not (root / ".lock").exists()


def test_a_finished_run_says_how_to_train_on(finished: Any) -> None:
    with pytest.raises(InputError, match=r"all 2 epochs are done.*training.epochs=4"):
        resume_run(finished[0])


def test_a_resumed_run_ends_like_one_never_stopped(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], forks: Any
) -> None:
    changes = ("training.ema_decay=0.9", "augment.flip=0.5", "augment.noise=0.05")
    whole = tmp_path / "whole"
    train_run(tiny_recipe(*changes, "training.epochs=3"), whole, say=lambda text: None)
    parts = tmp_path / "parts"
    # The schedule must be the whole run's from the start: stop it as Ctrl-C does.
    _interrupt_after_first_epoch(parts, tiny_recipe(*changes, "training.epochs=3"), forks)
    resume_run(parts, say=lambda text: None)
    assert [row["epoch"] for row in _rows(parts)] == ["0", "1", "2"]
    ours, theirs = (
        torch.load(root / "checkpoints/last.ckpt", weights_only=True) for root in (parts, whole)
    )
    for key, value in theirs["model"].items():
        assert torch.equal(ours["model"][key], value), key
    for key, value in theirs["average"]["network"].items():
        assert torch.equal(ours["average"]["network"][key], value), key


def _stop_at(epoch, batch, root, recipe):
    """Ctrl-C just before a batch."""

    def stop(self, item, train=Loop.train_batch):
        if (self.epoch, self.batch) == (epoch, batch):
            raise KeyboardInterrupt
        return train(self, item)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Loop, "train_batch", stop)
        train_run(recipe, root, say=lambda text: None)


_CTRL_C_AFTER_FIRST_EPOCH = """
import os, signal, sys
from dashseg.cli import main
from dashseg.training.loop import Loop

end_epoch = Loop.end_epoch


def and_ctrl_c(loop, row):
    end_epoch(loop, row)
    os.kill(os.getpid(), signal.SIGINT)


Loop.end_epoch = and_ctrl_c
sys.exit(main(sys.argv[1:]))
"""


def _interrupt_after_first_epoch(root, recipe, forks):
    """Ctrl-C in a real process once its first checkpoint is there."""
    path = root.parent / "recipe.yaml"
    path.write_text(recipe.to_yaml())
    done = forks.run(
        "-c", _CTRL_C_AFTER_FIRST_EPOCH, "train", "--recipe", path, "--runs", root.parent,
        "--name", root.name, "--set", "evaluation.run=false", cwd=root.parent,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 130, said
    assert f"dashseg train --resume {root}\n" in said
    assert "Traceback" not in said


def test_a_nan_loss_stops_the_run_names_the_step_and_keeps_good_checkpoints(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe]
) -> None:
    root = tmp_path / "run"
    train_run(tiny_recipe("training.epochs=1"), root, say=lambda text: None)
    good = (root / "checkpoints/last.ckpt").read_bytes()
    with pytest.raises(
        InputError, match=r"(loss|weights) became NaN or infinite at step \d+ \(epoch 1\)"
    ):
        resume_run(
            root,
            ["training.epochs=3", "optimizer.learning_rate=1e30", "training.gradient_clip=null",
             "optimizer.schedule=constant"],
            say=lambda text: None,
        )  # fmt: skip
    assert (root / "checkpoints/last.ckpt").read_bytes() == good


def test_a_checkpoint_of_another_architecture_is_an_error_that_names_keys(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe]
) -> None:
    root = tmp_path / "run"
    train_run(tiny_recipe("training.epochs=1"), root, say=lambda text: None)
    with pytest.raises(InputError, match=r"another architecture.*encoder\.layer"):
        resume_run(root, ["model.encoder.name=resnet34", "training.epochs=2"])


def test_after_a_damaged_checkpoint_the_run_resumes_from_the_previous_one(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], finished: Any
) -> None:
    root = shutil.copytree(finished[0], tmp_path / "run")
    last = root / "checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:-1000])
    said: list[Any] = []
    resume_run(root, say=said.append)  # its second epoch again
    assert "last.ckpt: damaged" in said[0] and "after epoch 1" in said[1]
    ours, theirs = (load_file(r / "model/model.safetensors") for r in (root, finished[0]))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert [row["epoch"] for row in _rows(root)] == ["0", "1"]


def test_a_run_stopped_in_its_evaluation_is_evaluated_on_resume(
    tmp_path: Path, finished: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    root = shutil.copytree(finished[0], tmp_path / "run")
    left = (
        root / "evaluation/.scenes-val.dashseg-7.tmp"
    )  # as kill -9 leaves it, while the report is drawn
    left.mkdir(parents=True)
    (left / "lock").touch()
    other = root / "evaluation/other-val"
    other.mkdir()
    for folder in (left, other):
        (folder / "metrics.json").write_text("{}")
    assert main(["train", "--resume", str(root)]) == 0
    metrics = root / "evaluation/scenes-val/metrics.json"
    assert metrics.exists() and not left.exists()
    assert main(["train", "--resume", str(root)]) == 2
    assert "all 2 epochs are done" in capsys.readouterr().err
    # Of an older model: that one was trained on, and killed before it was evaluated.
    path = root / "model/model.safetensors"
    state = load_file(path)
    save_file({name: value * 1 for name, value in state.items()}, path, {"of": "another epoch"})
    assert main(["train", "--resume", str(root)]) == 0
    weights = hashlib.sha256(path.read_bytes()).hexdigest()
    assert json.loads(metrics.read_text())["weights"] == weights


@pytest.mark.parametrize("epochs", [2, 3])
def test_the_run_is_held_while_it_is_evaluated(
    tmp_path: Path, finished: Any, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    root = shutil.copytree(finished[0], tmp_path / "run")
    tried = []

    def evaluate(*arguments, **options):
        with pytest.raises(InputError, match="by another process"), RunDirectory(root).held():
            pass
        tried.append(arguments)

    monkeypatch.setattr("dashseg.evaluation.evaluate", evaluate)
    monkeypatch.setattr("dashseg.run_directory.LOCK_PATIENCE", 0.1)
    assert main(["train", "--resume", str(root), "--set", f"training.epochs={epochs}"]) == 0
    assert len(tried) == 1


def test_another_batch_size_restarts_the_epoch(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after running out of memory: an epoch cannot continue in batches of another size."""
    root = tmp_path / "run"
    _stop_at(0, 3, root, tiny_recipe("training.checkpoint_steps=1"))
    said: list[Any] = []
    losses: list[Any] = []

    def note(self, batch, train=Loop.train_batch):
        loss = train(self, batch)
        losses.append(float(loss))
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "train_batch", note)
        resume_run(root, ["training.batch_size=3"], say=said.append)
    assert "after epoch 0 and 3 batches" in said[0]
    (resumed,) = json.loads((root / "environment.json").read_text())["resumed"]
    assert resumed["command"] == ["training.batch_size=3"]
    assert [row["step"] for row in _rows(root)] == ["9", "15"]  # 3, then 2 epochs of 6
    # The batches of 4 are forgotten with their epoch.
    content = torch.load(root / "checkpoints/last.ckpt", weights_only=True)
    first_epoch = content["history"][0]["train_loss"]
    assert first_epoch == pytest.approx(sum(losses[:6]) / 6, rel=1e-5)
    # Poly's, of 12 steps: as if all of the training had had batches of 3.
    done = [0.5, 1.0]
    rates = [float(row["learning_rate"]) for row in _rows(root)]
    assert rates == pytest.approx([1e-3 * (1 - share) ** 0.9 for share in done], abs=1e-9)


@pytest.mark.parametrize(
    ("before", "change"),
    [
        ((), "optimizer.name=adam"),
        ((), "optimizer.encoder_factor=0.3"),
        (("optimizer.encoder_factor=0.3",), "optimizer.encoder_factor=1"),
        ((), "optimizer.frozen_stride=4"),
        ((), "optimizer.frozen_norms=true"),
        ((), "loss.auxiliary=0.4"),
        ((), "model.weights=small"),
        ((), "model.encoder.weights=resnet18.pth"),
        ((), "training.monitor=val_loss"),
    ],
)
def test_settings_that_cannot_change_on_resume_are_named_and_change_nothing(
    tmp_path: Path, finished: Any, before: Any, change: str
) -> None:
    root = shutil.copytree(finished[0], tmp_path / "run")
    recipe = load_recipe(root / "recipe.yaml", before)
    (root / "recipe.yaml").write_text(recipe.to_yaml())
    files = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=change.split("=")[0] + ".*cannot change on --resume"):
        resume_run(root, [change, "training.epochs=3"], say=lambda text: None)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == files


@pytest.mark.parametrize("change", ["training.ema_decay=null", "training.precision=bfloat16"])
def test_averaging_and_precision_can_change_on_resume(
    tmp_path: Path, finished: Any, change: str
) -> None:
    root = shutil.copytree(finished[0], tmp_path / "run")
    resume_run(root, [change, "training.epochs=3"], say=lambda text: None)
    assert [row["epoch"] for row in _rows(root)] == ["0", "1", "2"]


def test_averaging_can_start_on_resume(tmp_path: Path, tiny_recipe: Callable[..., Recipe]) -> None:
    root = tmp_path / "run"
    train_run(tiny_recipe("training.epochs=1"), root, say=lambda text: None)
    changes = ["training.ema_decay=0.9", "training.epochs=2"]
    resume_run(root, changes, say=lambda text: None)
    last = torch.load(root / "checkpoints/last.ckpt", weights_only=True)
    assert last["average"]["updates"] == 4
    key = "encoder.conv1.weight"
    assert not torch.equal(last["average"]["network"][key], last["model"][f"network.{key}"])


def test_a_resume_that_fails_at_once_does_not_change_the_recipe(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "run"
    train_run(tiny_recipe("training.epochs=1"), root, say=lambda text: None)
    recipe, environment = (
        (root / "recipe.yaml").read_bytes(),
        (root / "environment.json").read_bytes(),
    )

    def fail(self, batch):
        raise torch.OutOfMemoryError("simulated")

    monkeypatch.setattr(Loop, "train_batch", fail)
    with pytest.raises(InputError, match="memory is full"):
        resume_run(root, ["training.batch_size=9", "training.epochs=2"], say=lambda text: None)
    assert (root / "recipe.yaml").read_bytes() == recipe
    assert (root / "environment.json").read_bytes() == environment


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_that_is_not_installed_is_an_error_before_the_run_is_made(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda module: ModuleSpec(module, None))
    with pytest.raises(InputError, match=f"training.loggers: {name} is not installed"):
        train_run(tiny_recipe(f"training.loggers=[{name}]"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_second_stage_starts_from_the_first_ones_model(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], finished: Any
) -> None:
    first, _, _ = finished
    recipe = tiny_recipe(
        f"model.weights={first}", "training.epochs=1", "optimizer.learning_rate=1e-12"
    )
    train_run(recipe, tmp_path / "second", say=lambda text: None)
    ours, theirs = (
        load_file(root / "model/model.safetensors") for root in (tmp_path / "second", first)
    )
    key = "encoder.layer1.0.conv1.weight"
    assert torch.allclose(ours[key], theirs[key], atol=1e-8)
    with pytest.raises(InputError, match="another architecture"):
        train_run(tiny_recipe(f"model.weights={first}", "model.aspp.channels=24"), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_model_of_other_classes_starts_a_run_without_its_classifier(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], finished: Any
) -> None:
    first, _, _ = finished
    recipe = change_recipe(tiny_recipe(f"model.weights={first}"), model={"num_classes": 2})
    lines: list[str] = []
    classes = Classes(("free", "taken"), ((0, 0, 0), (255, 255, 255)))
    network = new_network(recipe, classes, lines.append).state_dict()
    theirs = load_file(first / "model/model.safetensors")
    assert [key for key in theirs if not torch.equal(theirs[key], network[key])] == [
        "decoder.classifier.bias", "decoder.classifier.weight"
    ]  # fmt: skip
    assert len(network["decoder.classifier.bias"]) == 2
    assert len(lines) == 1 and "has other classes (road, lane markings" in lines[0]


def test_another_decoder_starts_with_what_fits_if_the_recipe_says_so(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], finished: Any
) -> None:
    first, _, _ = finished
    level = "model.decoder={name: gradual, levels: [{stride: 8, skip: 4, channels: 8}]}"
    changes = [level, f"model.weights={first}", "training.epochs=1"]
    with pytest.raises(InputError, match=r"another architecture.*model\.weights_fit=part"):
        train_run(tiny_recipe(*changes), tmp_path / "x")
    lines: list[str] = []
    part = tiny_recipe(*changes, "model.weights_fit=part", "optimizer.learning_rate=1e-12")
    train_run(part, tmp_path / "second", say=lines.append)
    said = [line for line in lines if "random weights" in line]
    layers = "decoder.levels.0.project, decoder.levels.0.convs.0, decoder.classifier"
    assert said == [f"layers that start with random weights: {layers}"]
    ours, theirs = (
        load_file(root / "model/model.safetensors") for root in (tmp_path / "second", first)
    )
    for key in ("encoder.layer4.1.conv2.weight", "aspp.project.0.weight"):
        assert torch.allclose(ours[key], theirs[key], atol=1e-8)
    assert "weights_fit" not in (tmp_path / "second/model/config.json").read_text()
    with pytest.raises(InputError, match=r"model\.weights_fit=part needs a model"):
        new_network(tiny_recipe("model.weights_fit=part"))
    with pytest.raises(InputError, match=r"model\.weights_fit: cannot change on --resume"):
        resume_run(tmp_path / "second", ["model.weights_fit=all", "training.epochs=2"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("model.input.channels=bgr", "model.input.channels"),
        ("model.input.mean=[0.5, 0.5, 0.5]", "model.input.mean"),
        ("model.input.std=[0.5, 0.5, 0.5]", "model.input.std"),
    ],
)
def test_a_start_from_a_model_of_other_images_is_warned_of(
    tiny_recipe: Callable[..., Recipe], finished: Any, change: str, named: str
) -> None:
    lines: list[str] = []
    weights = f"model.weights={finished[0]}"
    new_network(tiny_recipe(weights), say=lines.append)
    new_network(tiny_recipe(weights, "model.input.mean=[0.486, 0.456, 0.405]"), say=lines.append)
    assert not lines
    new_network(tiny_recipe(weights, change), say=lines.append)
    (line,) = lines
    assert f"other values of {named}:" in line


def _cut_weight(content: dict[str, Any]) -> None:
    content["optimizer"]["state"][0]["exp_avg"] = torch.zeros(2)


def _scalar(content: dict[str, Any]) -> None:
    content["optimizer"]["state"][0]["exp_avg"] = torch.zeros(())


@pytest.mark.parametrize(
    "damage",
    [
        _cut_weight,  # without a check, the first step writes beyond it and the process dies
        _scalar,
        lambda content: content["optimizer"].pop("state"),
        lambda content: content.pop("history"),
        lambda content: content.update(history=[3]),
        lambda content: content.update(epoch=-5),
        lambda content: content.update(average={}),
        lambda content: content["model"].popitem(),
    ],
)
def test_a_checkpoint_whose_parts_do_not_fit_is_an_error_before_a_step(
    finished: Any, tmp_path: Path, damage: Callable[[dict[str, Any]], Any]
) -> None:
    root = shutil.copytree(finished[0], tmp_path / "run")
    (root / "checkpoints/previous.ckpt").unlink()
    content = torch.load(root / "checkpoints/last.ckpt", weights_only=True)
    damage(content)
    torch.save(content, root / "checkpoints/last.ckpt")
    with pytest.raises(InputError, match=r"last\.ckpt: "):
        resume_run(root, ["training.epochs=3"])


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"resumed": 3}', "3"])
def test_a_damaged_environment_is_an_error_before_the_first_batch(
    finished: Any, tmp_path: Path, text: str
) -> None:
    root = shutil.copytree(finished[0], tmp_path / "run")
    (root / "environment.json").write_text(text)
    checkpoint = (root / "checkpoints/last.ckpt").read_bytes()
    with pytest.raises(InputError, match=r"environment\.json: "):
        resume_run(root, ["training.epochs=3"])
    assert (root / "environment.json").read_text() == text
    assert (root / "checkpoints/last.ckpt").read_bytes() == checkpoint


def test_resume_of_another_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run"):
        resume_run(tmp_path)


def test_a_run_stopped_before_its_first_checkpoint_restarts(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe]
) -> None:
    recipe = tiny_recipe("training.epochs=1")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train_run(recipe, whole, say=lambda text: None)
    _stop_at(0, 0, stopped, recipe)
    assert not (stopped / "checkpoints/last.ckpt").exists()
    said: list[Any] = []
    resume_run(stopped, say=said.append)
    assert said[0].startswith(f"restarting {stopped}")
    ours, theirs = (load_file(root / "model/model.safetensors") for root in (stopped, whole))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_recipe_that_cannot_be_trained_makes_no_run_and_changes_no_recipe(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], finished: Any
) -> None:
    for change in ("training.batch_size=19", "loss.class_weights=[1, 2]"):
        with pytest.raises(InputError, match=r"18 or less|class_weights=none"):
            train_run(tiny_recipe(change), tmp_path / "run", say=lambda text: None)
        assert not (tmp_path / "run").exists()
        before = (finished[0] / "recipe.yaml").read_bytes()
        with pytest.raises(InputError, match=r"18 or less|class_weights=none"):
            resume_run(finished[0], [change, "training.epochs=9"], say=lambda text: None)
        assert (finished[0] / "recipe.yaml").read_bytes() == before


def test_what_a_palette_lacks_is_said_before_a_run_is_made(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], write_folder: Callable[..., object]
) -> None:
    write_folder(tmp_path / "a", ["train/a", "train/b", "val/a"], "", ("#000000", "#ffffff"))
    palette = tmp_path / "a" / "palette.yaml"
    recipe = tiny_recipe(f"data.root={tmp_path / 'a'}", "training.batch_size=1")
    said: list[str] = []
    palette.write_text('classes: {road: "#000000"}\nignore: "#ffffff"')
    with pytest.raises(InputError, match="its only class is 'road'; training needs two or more"):
        train_run(recipe, tmp_path / "run", say=said.append)
    palette.write_text('classes: {road: "#000000", car: "#ffffff", sky: "#0000ff"}')
    weighted = change_recipe(recipe, loss={"class_weights": [1, 4, 1, 3, 1]})
    with pytest.raises(InputError, match="5 numbers for 3 classes; give one for each, or --set"):
        train_run(weighted, tmp_path / "run", say=said.append)
    drawn = change_recipe(recipe, augment={"bonnet": 0.5, "paint": {"share": 0.5}})
    both = r"--set augment\.paint\.share=0; .* --set augment\.bonnet=0"
    with pytest.raises(InputError, match=both):
        train_run(drawn, tmp_path / "run", say=said.append)
    assert not said and not (tmp_path / "run").exists()
    train_run(change_recipe(recipe, training={"epochs": 1}), tmp_path / "run", say=said.append)
    assert "none of 2 training labels shows the class sky" in said


def test_a_run_can_be_resumed_from_any_folder(
    tmp_path: Path,
    tiny_recipe: Callable[..., Recipe],
    scenes: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = sorted(path.stem for path in (scenes / "imgs").glob("*.png"))
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": names[:4], "val": names[4:6]}))
    monkeypatch.chdir(tmp_path)
    recipe = tiny_recipe(
        f"data.root={os.path.relpath(scenes)}", "data.split=split.json", "training.epochs=1"
    )
    train_run(recipe, tmp_path / "run", say=lambda text: None)
    data = load_recipe(tmp_path / "run/recipe.yaml").data
    assert data.root is not None
    assert Path(data.root) == scenes and data.split == split


def test_the_last_epoch_is_validated_whatever_validate_every_is(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe]
) -> None:
    root = tmp_path / "run"
    changes = (
        "training.validate_every=2", "training.checkpoint_steps=3", "training.monitor=val_loss",
    )  # fmt: skip
    _stop_at(2, 3, root, tiny_recipe("training.epochs=3", *changes))  # within the last epoch
    resume_run(root, say=lambda text: None)
    assert [bool(row["val_miou"]) for row in _rows(root)] == [False, True, True]
    best = min(_rows(root), key=lambda row: float(row["val_loss"] or "inf"))
    checkpoint = torch.load(root / "checkpoints/best.ckpt", weights_only=True)
    assert checkpoint["step"] == int(best["step"])
    short = tiny_recipe("training.epochs=1", "training.validate_every=3")
    train_run(short, tmp_path / "short", say=lambda text: None)
    assert load(tmp_path / "short").run == tmp_path / "short"


def test_mixed_precision_trains_with_clipped_gradients_and_averaged_weights(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe]
) -> None:
    recipe = tiny_recipe(
        "training.precision=bfloat16", "training.gradient_clip=1", "training.ema_decay=0.9",
        "training.epochs=1", "augment.scale=[0.5, 2]", "augment.hue=0.1", "augment.blur=1",
    )  # fmt: skip
    train_run(recipe, tmp_path / "run", say=lambda text: None)
    assert 0 < float(_rows(tmp_path / "run")[0]["val_loss"]) < 10


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["optimizer.frozen_stride=8"], "this one starts with random weights"),
        (["optimizer.frozen_norms=true"], "this one starts with random weights"),
        (["training.precision=float16"], "float16 is for GPUs"),
        (
            ["model.input.size=[32, 32]", "model.input.resize=squash", "training.batch_size=1"],
            "raise training.batch_size",
        ),
    ],
)
def test_settings_that_cannot_train_are_an_error(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], changes: Any, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        train_run(tiny_recipe(*changes), tmp_path / "run", say=lambda text: None, device="cpu")


def test_data_errors_come_before_the_run_directory_is_made(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], scenes: Path
) -> None:
    recipe = tiny_recipe("data.root=" + str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="no such folder"):
        train_run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_accumulation_makes_fewer_steps(tmp_path: Path, tiny_recipe: Callable[..., Recipe]) -> None:
    recipe = tiny_recipe("training.epochs=1", "training.accumulate=2", "training.batch_size=3")
    train_run(recipe, tmp_path / "run", say=lambda text: None)
    assert _rows(tmp_path / "run")[0]["step"] == "3"  # 18 frames: 6 batches, 3 steps


_TRAIN = """
import sys
from pathlib import Path
from dashseg.cli import main
sys.exit(main(["train", "--recipe", sys.argv[2], "--runs", sys.argv[1], "--name", "run"]))
"""


@pytest.mark.parametrize(("size", "read_only"), [("2m", False), ("1m", True)])
def test_a_full_or_read_only_disk_is_an_error_that_names_the_folder(
    tmp_path: Path,
    tiny_recipe: Callable[..., Recipe],
    in_small_disk: Any,
    size: str,
    read_only: bool,
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(tiny_recipe("evaluation.run=false").to_yaml())
    done = in_small_disk(_TRAIN, str(recipe), size=size, read_only=read_only)
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "cannot write" in errors[0]
    assert ("Read-only" if read_only else "No space left") in errors[0]
    assert "Traceback" not in done.stderr


_TRAIN_UNTIL_FULL = """
import sys
from pathlib import Path
from dashseg.cli import main
from dashseg.config import load_recipe
from dashseg.training.checkpoints import newest_checkpoint
from dashseg.run_directory import RunDirectory

disk = Path(sys.argv[1])
code = main(["train", "--recipe", sys.argv[2], "--runs", sys.argv[1], "--name", "run"])
checkpoint = newest_checkpoint(RunDirectory(disk / "run"), print)
print("left:", code, checkpoint.epochs, checkpoint.batches, checkpoint.content["step"])
print(sorted(p.name for p in (disk / "run" / "checkpoints").iterdir()))
"""


def test_a_disk_that_gets_full_leaves_the_earlier_checkpoint_valid(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], in_small_disk: Any
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(tiny_recipe("training.checkpoint_steps=1").to_yaml())
    done = in_small_disk(_TRAIN_UNTIL_FULL, str(recipe), size="14m")  # of 9.3 MB each
    assert "No space left" in done.stderr, done.stderr
    assert "left: 2 0 1 1" in done.stdout
    assert "['last.ckpt']" in done.stdout


def test_a_timm_encoder_trains_resumes_and_loads_without_its_pretrained_weights(
    timm: Any, tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    file = tmp_path / "weights.pth"
    torch.save(timm.create_model("mobilenetv4_conv_small_035").state_dict(), file)
    recipe = tiny_recipe(
        "model.encoder.name=timm/mobilenetv4_conv_small_035", f"model.encoder.weights={file}",
        "model.encoder.width=1", "training.epochs=1", "optimizer.frozen_stride=4",
    )  # fmt: skip
    recipe = change_recipe(recipe, optimizer={"schedule": "constant"})
    straight = change_recipe(recipe, training={"epochs": 2})
    train_run(straight, tmp_path / "straight")
    train_run(recipe, tmp_path / "stopped")
    file.unlink()
    resume_run(tmp_path / "stopped", ["training.epochs=2"])
    first, second = (
        load_file(tmp_path / name / "model/model.safetensors") for name in ("straight", "stopped")
    )
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
    assert load(tmp_path / "stopped", device="cpu").config.encoder.weights is None
