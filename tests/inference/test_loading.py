"""A run, a model directory and a hub id are all models; anything else is an error that helps."""

from __future__ import annotations

import shutil
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
from numpy.typing import NDArray

import dashseg
from dashseg.errors import InputError
from dashseg.inference import Segmenter, load


@pytest.fixture
def run(tmp_path: Path, model_directory: Path) -> Path:
    """A run whose training has ended."""
    root = tmp_path / "runs" / "demo"
    root.mkdir(parents=True)
    (root / "recipe.yaml").touch()
    (root / "model").symlink_to(model_directory)
    return root


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with the network off."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hub"


def problem(model: str | Path, **options: Any) -> str:
    """The message with which the model is refused: one line."""
    with pytest.raises(InputError) as error:
        load(model, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_run_is_a_model(run: Path, segmenter: Segmenter, frame: NDArray[np.uint8]) -> None:
    loaded = load(str(run), device="cpu")
    assert (loaded.name, loaded.run) == (str(run), run)
    assert loaded.weights == run / "model/model.safetensors"
    assert np.array_equal(loaded(frame).label, segmenter(frame).label)


def test_a_model_directory_in_a_run_knows_its_run(run: Path) -> None:
    assert load(run / "model", device="cpu").run == run


def test_a_model_directory_alone_has_no_run(segmenter: Segmenter) -> None:
    assert segmenter.run is None
    assert segmenter.classes.names[0] == "road"


def test_the_package_loads_as_its_front_page_says(run: Path, frame: NDArray[np.uint8]) -> None:
    segment = dashseg.load(str(run), tta=("flip",))
    assert isinstance(segment, Segmenter)
    assert segment.tta == ("flip",)
    assert segment(frame).label.shape == (40, 56)


@pytest.fixture
def shipped(tmp_path: Path, model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a model that comes with dashseg."""
    (tmp_path / "package" / "pretrained").mkdir(parents=True)
    (tmp_path / "package" / "pretrained" / "tiny").symlink_to(model_directory)
    monkeypatch.setattr("importlib.resources.files", lambda name: tmp_path / "package")
    monkeypatch.chdir(tmp_path)
    return "tiny"


def test_a_model_that_comes_with_dashseg_loads_by_its_name(
    shipped: str, segmenter: Segmenter, frame: NDArray[np.uint8]
) -> None:
    loaded = load(shipped, device="cpu")
    assert (loaded.name, loaded.run) == (shipped, None)
    assert np.array_equal(loaded(frame).label, segmenter(frame).label)


def test_a_folder_of_that_name_comes_first(shipped: str, tmp_path: Path) -> None:
    (tmp_path / shipped).mkdir()
    assert "tiny: neither a run nor a model directory" in problem(shipped)


@pytest.mark.usefixtures("hub", "shipped")
def test_a_misspelt_name_is_an_error_that_shows_the_right_one() -> None:
    assert "no such model; name a run, a model directory, tiny (which comes with" in problem("tyni")


def test_a_run_without_a_model_says_how_to_go_on(run: Path) -> None:
    (run / "model").unlink()
    message = problem(run)
    assert "this run has no model yet" in message
    assert f"dashseg train --resume {run}" in message


def test_a_folder_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    assert "neither a run nor a model directory: it has no config.json" in problem(tmp_path)


@pytest.mark.parametrize("name", ["demo", "./runs/demo", "runs/2024/demo", "/nowhere/demo"])
@pytest.mark.usefixtures("hub")
def test_a_missing_model_is_an_error_that_says_what_to_name(name: str) -> None:
    message = problem(name)
    assert "no such model; name a run, a model directory, " in message
    assert "a hub id owner/name" in message


def test_a_slip_in_a_runs_name_is_no_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "no such model" in problem("runs/dmeo")


def test_a_hub_id_is_a_model(
    hub: Path, model_directory: Path, segmenter: Segmenter, frame: NDArray[np.uint8]
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = hub / "models--someone--roads"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    shutil.copytree(model_directory, repo / "snapshots" / commit)
    loaded = load("someone/roads", device="cpu")
    assert (loaded.name, loaded.run) == ("someone/roads", None)
    assert np.array_equal(loaded(frame).label, segmenter(frame).label)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["someone/roads", "someone/-"])
def test_a_hub_id_out_of_reach_is_an_error_that_names_it(name: str) -> None:
    message = problem(name)
    assert (
        f"'{name}' is no folder here" in message and "not be downloaded from the hub: " in message
    )


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"siblings": [null]}', b"[" * 99999])
def test_a_hub_that_answers_nonsense_is_an_error(
    answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nonsense(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Nonsense) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
        assert "could not be downloaded from the hub" in problem("nobody/roads")
        server.shutdown()


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:x", "", "meta", "hpu", "privateuseone"])
def test_a_device_that_is_not_there_is_an_error_that_names_it(
    model_directory: Path, device: str
) -> None:
    assert f"device '{device}' is not available" in problem(model_directory, device=device)
