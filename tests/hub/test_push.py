"""A pushed model comes back bit for bit; what may not be published, or fails, changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

import dashseg
from dashseg.cli.main import main
from dashseg.errors import InputError
from dashseg.inference.export import ExportPlan, export_model
from dashseg.scenes import render_scene


def problem(*arguments: Any, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        dashseg.push(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture(scope="module")
def frame() -> Any:
    return render_scene(3, 1, (109, 145)).image


def test_a_pushed_model_comes_back_bit_for_bit(hub: Any, model_directory: Path, frame: Any) -> None:
    pushed = dashseg.push(model_directory, "me/roads", license="mit", revision="v1")
    assert sorted(hub.files("me/roads", "v1")) == [".gitattributes", *pushed.files]
    assert pushed.commit in hub.repositories["me/roads"].commits
    own = dashseg.load(model_directory, device="cpu")(frame)
    for name in ("me/roads@v1", f"me/roads@{pushed.commit}"):
        theirs = dashseg.load(name, device="cpu")(frame)
        assert np.array_equal(theirs.label, own.label)
        assert np.array_equal(theirs.probabilities, own.probabilities)
    with pytest.raises(InputError, match="has no config"):  # main has no model
        dashseg.load("me/roads")


def test_all_files_come_in_one_commit(hub: Any, model_directory: Path) -> None:
    dashseg.push(model_directory, "me/roads", license="mit")
    assert len(hub.repositories["me/roads"].commits) == 2  # the first is the hub's own
    assert sum("/commit/" in line for line in hub.requests) == 1


def test_only_the_models_two_files_are_downloaded(hub: Any, model_directory: Path) -> None:
    dashseg.push(model_directory, "me/roads", license="mit")
    files = hub.files("me/roads")
    files |= {"model.py": b"import os", "pytorch_model.bin": b"x", "../../escaped": b"x"}
    dashseg.load("me/roads", device="cpu")
    fetched = {line.rpartition("/")[2] for line in hub.requests if "/resolve/" in line}
    assert fetched == {"config.json", "model.safetensors"}


def test_a_model_of_the_hub_is_a_start_for_training(
    hub: Any, model_directory: Path, tiny: list[str]
) -> None:
    from dashseg.config import load_recipe
    from dashseg.inference.model_directory import load_model
    from dashseg.training.plan import new_network

    dashseg.push(model_directory, "me/roads", license="mit", revision="v1")
    network, config, _ = load_model(model_directory)
    recipe = load_recipe(None, ["model.weights=me/roads@v1"])
    model = config.model_copy(update={"weights": recipe.model.weights})
    start = new_network(recipe.model_copy(update={"model": model}))
    assert all(
        np.array_equal(value, start.state_dict()[key])
        for key, value in network.state_dict().items()
    )


def test_an_export_goes_into_its_own_folder(
    hub: Any, model_directory: Path, tmp_path: Path
) -> None:
    trained = dashseg.load(model_directory, device="cpu")
    export_model(trained, tmp_path / "half", ExportPlan("torch", "fp16"))
    dashseg.push(model_directory, "me/roads", license="mit", exports=[tmp_path / "half"])
    files = hub.files("me/roads")
    for name in ("config.json", "model.safetensors", "export.json"):
        assert files[f"half/{name}"] == (tmp_path / "half" / name).read_bytes()
    assert b"`half/`" in files["README.md"] and b"fp16" in files["README.md"]


@pytest.mark.parametrize("damage", ["changed", "missing", "no export", "outside"])
def test_an_export_that_is_not_whole_is_not_pushed(
    damage: str, hub: Any, model_directory: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    export_model(dashseg.load(model_directory), half, ExportPlan("torch", "fp16"))
    if damage == "changed":
        (half / "config.json").write_text("{}")
    elif damage == "missing":
        (half / "model.safetensors").unlink()
    elif damage == "no export":
        (half / "export.json").unlink()
    else:
        values = json.loads((half / "export.json").read_text())
        values["sha256"] = {"../secret": "0", **values["sha256"]}
        (half / "export.json").write_text(json.dumps(values))
    assert "half" in problem(model_directory, "me/roads", license="mit", exports=[half])
    assert not hub.requests


def test_a_dry_run_writes_what_a_push_uploads(
    hub: Any, model_directory: Path, tmp_path: Path
) -> None:
    dashseg.push(model_directory, "me/roads", license="mit", dry_run=tmp_path / "seen")
    assert not hub.requests
    dashseg.push(model_directory, "me/roads", license="mit")
    for name, content in hub.files("me/roads").items():
        if name != ".gitattributes":
            assert (tmp_path / "seen" / name).read_bytes() == content


def test_a_model_needs_a_licence(hub: Any, model_directory: Path) -> None:
    assert "--license" in problem(model_directory, "me/roads")
    assert "small letters" in problem(model_directory, "me/roads", license="MIT")
    assert not hub.requests


def test_non_commercial_data_needs_the_option_and_a_licence_that_says_so(
    hub: Any, model_directory: Path, tmp_path: Path
) -> None:
    model = tmp_path / "of-camvid"
    shutil.copytree(model_directory, model)
    config = json.loads((model / "config.json").read_text())
    camvid = {"name": "CamVid", "images": 255, "terms": "research", "commercial_use": False}
    (model / "config.json").write_text(json.dumps(config | {"trained_on": [camvid]}))
    assert "CamVid" in problem(model, "me/roads", license="other")
    message = problem(model, "me/roads", license="apache-2.0", non_commercial=True)
    assert "would permit commercial use" in message
    assert not hub.requests
    dashseg.push(model, "me/roads", license="cc-by-nc-4.0", non_commercial=True)
    dashseg.load("me/roads", device="cpu")
    # What comes back still knows its data.
    assert "CamVid" in problem("me/roads", "me/again", license="mit")


def test_an_export_alone_is_not_pushed(hub: Any, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    assert "push the run or model directory" in problem("model.onnx", "me/roads", license="mit")


@pytest.mark.parametrize(
    "name", ["roads", "me/", "../roads", "me/a--b", "me/roads.git", "me/a b", "a/b/c", "me/.."]
)
def test_a_name_that_the_hub_does_not_have_is_an_error(
    name: str, hub: Any, model_directory: Path
) -> None:
    assert "expected owner/name" in problem(model_directory, name, license="mit")
    assert not hub.requests


@pytest.mark.parametrize(
    "revision", ["../x", "a..b", "", "-x", "a b", "x/", "refs/../../y", "a.lock"]
)
def test_a_revision_that_git_does_not_have_is_an_error(
    revision: str, hub: Any, model_directory: Path
) -> None:
    message = problem(model_directory, "me/roads", license="mit", revision=revision)
    assert "is no revision" in message
    with pytest.raises(InputError, match="is no revision"):
        dashseg.load(f"me/roads@{revision}")
    assert not hub.requests


def test_without_a_token_the_error_says_how_to_log_in(
    hub: Any, model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    message = problem(model_directory, "me/roads", license="mit")
    assert "hf auth login" in message and "HF_TOKEN" in message
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "hf auth login" in problem(model_directory, "me/roads", license="mit")


def test_private_is_kept(hub: Any, model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dashseg.push(model_directory, "me/mine", license="mit", private=True)
    assert hub.repositories["me/mine"].private
    dashseg.load("me/mine", device="cpu")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "elsewhere")
    with pytest.raises(InputError, match="if it is private"):
        dashseg.load("me/mine")


def test_private_into_a_public_repository_pushes_nothing(hub: Any, model_directory: Path) -> None:
    dashseg.push(model_directory, "me/roads", license="mit")
    before = dict(hub.repositories["me/roads"].branches)
    assert "public already" in problem(model_directory, "me/roads", license="mit", private=True)
    assert hub.repositories["me/roads"].branches == before


@pytest.mark.parametrize(
    "fault",
    [{"/preupload/": 403}, {"PUT /objects/": 403}, {"/commit/": 500}, {"/commit/": 0}],
    ids=str,
)
def test_a_refused_upload_leaves_the_repository_as_it_was(
    fault: dict[str, int], hub: Any, model_directory: Path, tmp_path: Path
) -> None:
    dashseg.push(model_directory, "me/roads", license="mit")
    before = dict(hub.repositories["me/roads"].branches)
    changed = tmp_path / "changed"
    shutil.copytree(model_directory, changed)
    (changed / "README.md").write_text("---\nlicense: mit\n---\nNew words.\n")
    hub.faults = fault
    assert "was not pushed" in problem(changed, "me/roads", license="mit")
    assert hub.repositories["me/roads"].branches == before
    hub.faults = {}
    dashseg.push(changed, "me/roads", license="mit")
    assert b"New words." in hub.files("me/roads")["README.md"]
    assert not [path for path in tmp_path.iterdir() if ".dashseg-" in path.name]


def test_a_killed_upload_leaves_the_repository_as_it_was(
    hub: Any, model_directory: Path, tmp_path: Path, forks: Any
) -> None:
    hub.hold = "PUT /objects/"
    program = (
        "import os, pathlib, sys; from dashseg.cli.main import main;"
        "pathlib.Path('pid').write_text(str(os.getpid()));"
        "sys.exit(main(['push', sys.argv[1], 'me/roads', '--license', 'mit']))"
    )

    def kill() -> None:
        if hub.held.wait(250):
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    killer = Thread(target=kill)
    killer.start()
    done = forks.run("-c", program, model_directory, cwd=tmp_path)
    killer.join()
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(hub.files("me/roads")) == [".gitattributes"]
    hub.hold = ""
    hub.ended.set()
    dashseg.push(model_directory, "me/roads", license="mit")
    assert "model.safetensors" in hub.files("me/roads")
    assert not [path for path in tmp_path.iterdir() if ".dashseg-" in path.name]


def test_a_hub_out_of_reach_is_one_line(
    hub: Any, model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert "the hub cannot be reached" in problem(model_directory, "me/roads", license="mit")


def test_the_command_prints_where_the_model_is(
    hub: Any, model_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(model_directory), "me/roads", "--license", "mit", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["url"].startswith(hub.url) and values["commit"] in values["url"]
