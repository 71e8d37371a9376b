"""A model directory carries a model whole; anything less is an error that says what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from dashseg.config import ModelConfig
from dashseg.errors import InputError
from dashseg.inference import Segmenter, load, save_model
from dashseg.inference.model_directory import load_model, load_weights
from dashseg.labels import COMMA10K

SAVE = """
import sys
from pathlib import Path
import torch
from dashseg.config import ModelConfig
from dashseg.errors import InputError
from dashseg.inference import save_model
from dashseg.labels import COMMA10K

disk = Path(sys.argv[1])
(disk / "model").mkdir()
(disk / "model" / "config.json").write_text("old")
try:
    save_model(disk / "model", {"weight": torch.zeros(100_000)}, ModelConfig(), COMMA10K)
except InputError as error:
    print(error)
print([str(path.relative_to(disk)) for path in disk.rglob("*") if path.is_file()])
print((disk / "model" / "config.json").read_text())
"""


@pytest.fixture
def model(model_directory: Path, tmp_path: Path) -> Path:
    """A model directory to spoil."""
    return Path(shutil.copytree(model_directory, tmp_path / "model"))


def edit(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads((model / "config.json").read_text())
    change(values)
    (model / "config.json").write_text(json.dumps(values))


def test_a_round_trip_gives_the_same_labels(
    segmenter: Segmenter, frame: NDArray[np.uint8], tmp_path: Path
) -> None:
    state = segmenter.network.state_dict()
    save_model(tmp_path / "copy", state, segmenter.config, segmenter.classes)
    copy = load(tmp_path / "copy", device="cpu")
    assert copy.config == segmenter.config
    ours, theirs = copy(frame).logits, segmenter(frame).logits
    assert isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor)
    assert torch.equal(ours, theirs)
    assert np.array_equal(copy(frame).label, segmenter(frame).label)
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {
        "config.json",
        "model.safetensors",
    }


def test_a_loaded_network_is_in_eval_mode(model_directory: Path) -> None:
    network, _, _ = load_model(model_directory)
    assert not any(module.training for module in network.modules())


def test_the_config_has_all_that_is_needed_to_use_the_weights(model_directory: Path) -> None:
    values = json.loads((model_directory / "config.json").read_text())
    assert values["schema"] == 1
    assert values["classes"] == [
        {"name": "road", "colour": [64, 32, 32]},
        {"name": "lane markings", "colour": [255, 0, 0]},
        {"name": "undrivable", "colour": [128, 128, 96]},
        {"name": "movable", "colour": [0, 255, 102]},
        {"name": "my car", "colour": [204, 0, 255]},
    ]
    assert values["model"]["input"] == {
        "size": [36, 64],
        "resize": "fit",
        "channels": "rgb",
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.25, 0.3],
    }
    assert values["model"]["encoder"]["name"] == "resnet18"
    assert values["model"]["encoder"]["output_stride"] == 16
    assert values["model"]["aspp"]["rates"] == [1, 2, 3]
    assert values["model"]["decoder"]["name"] == "gradual"
    assert values["model"]["num_classes"] == 5


def test_where_training_started_stays_at_home(segmenter: Segmenter, tmp_path: Path) -> None:
    values = segmenter.config.model_dump()
    values["weights"] = "/home/me/runs/first"
    values["encoder"]["weights"] = "/home/me/resnet18.pth"
    config = ModelConfig.model_validate(values)
    save_model(tmp_path / "model", segmenter.network.state_dict(), config, COMMA10K)
    assert "/home/me" not in (tmp_path / "model" / "config.json").read_text()
    _, loaded, _ = load_model(tmp_path / "model")
    assert loaded == segmenter.config


def test_a_loaded_network_has_the_files_values_in_memory_of_its_own(model: Path) -> None:
    stored = {key: value.clone() for key, value in load_file(model / "model.safetensors").items()}
    network, _, _ = load_model(model)
    (model / "model.safetensors").write_bytes(bytes((model / "model.safetensors").stat().st_size))
    for key, value in network.state_dict().items():
        assert torch.equal(value, stored[key]), key


def test_loading_imports_no_compiler(model: Path) -> None:
    # They take up to 2 s, several times what reading the weights takes.
    code = (
        "import sys; from dashseg.inference import load; load(sys.argv[1], device='cpu');"
        "heavy = {'torch._dynamo', 'torch._inductor', 'sympy'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    command = [sys.executable, "-c", code, str(model)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_weights_of_another_architecture_are_an_error_that_names_keys(
    segmenter: Segmenter,
) -> None:
    state = dict(segmenter.network.state_dict())
    before = segmenter.network.get_parameter("encoder.conv1.weight").clone()
    state["encoder.conv1.weight"] = torch.zeros(16, 1, 7, 7)
    state["encoder.layer9.weight"] = torch.zeros(1)
    del state["encoder.bn1.weight"]
    with pytest.raises(InputError, match=r"^last\.ckpt: weights of another architecture") as error:
        load_weights(segmenter.network, state, "last.ckpt")
    message = str(error.value)
    assert "3 keys do not fit" in message
    assert "encoder.bn1.weight is missing" in message
    assert "encoder.conv1.weight is (16, 1, 7, 7) instead of (16, 3, 7, 7)" in message
    assert "encoder.layer9.weight is unexpected" in message
    assert torch.equal(segmenter.network.get_parameter("encoder.conv1.weight"), before)


def test_a_config_that_does_not_fit_the_weights_is_an_error(model: Path) -> None:
    edit(model, lambda values: values["model"]["aspp"].update(channels=16))
    with pytest.raises(InputError, match=r"model\.safetensors: weights of another architecture"):
        load_model(model)


def spoil(path: Path, how: str) -> None:
    data = path.read_bytes()
    path.write_bytes({"cut": data[: len(data) // 2], "text": b"not weights", "empty": b""}[how])


@pytest.mark.parametrize("how", ["cut", "text", "empty"])
def test_damaged_weights_are_an_error_that_names_the_file(model: Path, how: str) -> None:
    spoil(model / "model.safetensors", how)
    with pytest.raises(InputError, match=r"model\.safetensors: cannot be read as safetensors"):
        load_model(model)


@pytest.mark.parametrize("key", ["encoder.conv1.weight", "decoder.classifier.bias"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_an_error_of_every_way_to_open(
    model: Path, key: str, value: float
) -> None:
    state = load_file(model / "model.safetensors")
    state[key].view(-1)[-1] = value
    save_file(state, model / "model.safetensors")
    with pytest.raises(InputError, match=f"{key} holds NaN, infinity"):
        load(model, device="cpu")


@pytest.mark.parametrize("channels", [10**6, 10**9])  # 20 TB, and more than an address can say
def test_a_huge_network_is_refused_before_it_takes_memory(model: Path, channels: int) -> None:
    edit(model, lambda values: values["model"]["aspp"].update(channels=channels))
    with pytest.raises(InputError, match=str(model)):
        load_model(model)


def test_no_other_weights_are_looked_for(model: Path, tmp_path: Path) -> None:
    missing = str(tmp_path / "planted.pth")
    edit(model, lambda values: values["model"]["encoder"].update(weights=missing))
    assert load_model(model)[1].encoder.weights is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_for_weights_is_not_waited_for(model: Path) -> None:
    (model / "model.safetensors").unlink()
    os.mkfifo(model / "model.safetensors")
    with pytest.raises(InputError, match="not a file"):
        load_model(model)


def test_missing_weights_are_an_error_that_names_the_file(model: Path) -> None:
    (model / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: cannot be read .*No such file"):
        load_model(model)


@pytest.mark.parametrize("how", ["cut", "text", "empty"])
def test_a_damaged_config_is_an_error_that_names_the_file(model: Path, how: str) -> None:
    spoil(model / "config.json", how)
    with pytest.raises(InputError, match=r"config\.json: not valid JSON"):
        load_model(model)


@pytest.mark.parametrize("text", ["{}", "[]", "3", '{"schema": 1, "classes": [], "model": {}}'])
def test_another_programs_config_is_an_error(model: Path, text: str) -> None:
    (model / "config.json").write_text(text)
    with pytest.raises(InputError) as error:
        load_model(model)
    assert str(error.value).startswith(f"{model / 'config.json'}: ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(schema=2), "schema 2; this dashseg reads 1: install a newer one"),
        (lambda v: v["classes"].pop(), "4 classes for a network of 5"),
        (lambda v: v["classes"][0].update(colour=[300, 0, 0]), "a colour has three parts"),
        (lambda v: v["classes"][0].update(colour=[1, 2]), "not the config.json of a dashseg"),
        (lambda v: v["classes"][0].update(colour="abc"), "a colour has three parts"),
        (lambda v: v["classes"][0].update(colour=[1.0, 2, 3]), "a colour has three parts"),
        (lambda v: v["classes"][0].update(name=["road"]), "not the config.json of a dashseg"),
        (lambda v: v["model"].update(heads=2), "unknown key 'heads'"),
        (lambda v: v["model"]["encoder"].update(name="vgg"), "encoder.name: Input should be"),
        (lambda v: v.pop("model"), "not the config.json of a dashseg model directory"),
    ],
)
def test_a_config_that_cannot_be_used_is_an_error_that_names_it(
    model: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(model, change)
    with pytest.raises(InputError) as error:
        load_model(model)
    assert str(error.value).startswith(f"{model / 'config.json'}: ")
    assert message in str(error.value)


def test_both_files_of_an_older_model_are_replaced_and_others_stay(
    segmenter: Segmenter, model: Path
) -> None:
    (model / "notes.txt").write_text("mine")
    state = {name: value + 1 for name, value in segmenter.network.state_dict().items()}
    save_model(model, state, segmenter.config, COMMA10K)
    written = load_file(model / "model.safetensors")
    assert torch.equal(written["encoder.bn1.bias"], state["encoder.bn1.bias"])
    assert (model / "notes.txt").read_text() == "mine"


def test_a_full_disk_is_an_error_and_leaves_the_old_model(
    in_small_disk: Callable[..., Any],
) -> None:
    result = in_small_disk(SAVE, size="64k")
    assert result.returncode == 0, result.stderr
    message, files, old = result.stdout.splitlines()
    assert "/model/model.safetensors: No space left on device. Free space" in message
    assert files == "['model/config.json']"
    assert old == "old"


def test_weights_that_are_a_pipe_are_not_opened(model: Path) -> None:
    (model / "model.safetensors").unlink()
    os.mkfifo(model / "model.safetensors")
    with pytest.raises(InputError, match="not a file; expected the weights"):
        load_model(model)
