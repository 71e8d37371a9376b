"""`dashseg data pack`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dashseg.cli import main
from dashseg.config import InputConfig
from dashseg.inference.segmenter import Segmenter
from dashseg.labels import COMMA10K


@pytest.fixture
def source(tmp_path: Path, write_comma10k: Callable[..., Any]) -> Path:
    write_comma10k(tmp_path / "source", [f"frame_{number}" for number in range(6)])
    return tmp_path / "source"


def test_it_packs_says_what_and_verifies(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pack"
    assert main(["data", "pack", str(source), str(out), "--workers", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == 6 and report["bytes"] == 6 * 40 * 56 * 4
    assert report["sizes"] == [{"height": 40, "width": 56, "frames": 6}]
    assert main(["data", "pack", str(out), "--verify"]) == 0
    assert "6 frames" in capsys.readouterr().out
    array = bytearray((out / "images-40x56.npy").read_bytes())
    array[-1] ^= 1
    (out / "images-40x56.npy").write_bytes(array)
    assert main(["data", "pack", str(out), "--verify"]) == 2
    assert "damaged: frame_5" in capsys.readouterr().err


def test_evaluate_reads_a_pack_and_says_whether_it_was_resized(
    source: Path, tmp_path: Path, model_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, small = tmp_path / "plain", tmp_path / "small"
    assert main(["data", "pack", str(source), str(plain), "--workers", "1"]) == 0
    squashed = ["--size", "32x48", "--squash", "--workers", "1"]
    assert main(["data", "pack", str(source), str(small), *squashed]) == 0
    metrics = []
    for root in (source, plain, small):
        capsys.readouterr()
        out = str(tmp_path / f"{root.name}-evaluation")
        arguments = ["evaluate", str(model_directory), "--data", str(root), "--split", "all"]
        assert main([*arguments, "--out", out, "--device", "cpu", "--json"]) == 0
        metrics.append(json.loads(capsys.readouterr().out))
        page = (Path(out) / "report/index.html").read_text()
        assert ("not comparable with published scores" in page.replace("\n", " ")) == (
            root == small
        )
    of_files, of_pack, of_small = metrics
    assert of_small["ce"]["padded_896x1184"] is None and of_small["ce"]["native"] > 0
    assert of_pack["ce"] == of_files["ce"] and of_pack["confusion"] == of_files["confusion"]
    assert [values["data"]["resized"] for values in metrics] == [False, False, True]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{source}"], "name a new folder for the pack"),
        (["{source}", "--verify"], "not a pack"),
        (["{source}", "{out}", "--squash"], "--squash needs --size HxW"),
        (["{source}", "{out}", "--size", "16x16"], "32 pixels or more"),
        (["{source}", "{out}", "--size", "big"], "expected HxW"),
        (["{source}", "{out}", "--filter", "cubic"], "--filter cubic"),
        (["{source}", "{source}"], "exists"),
        (["{source}", "{out}", "--dataset", "pack"], "no pack.json"),
        (["missing", "{out}"], "no such folder"),
        (["{source}", "{out}", "--unlabelled"], "--unlabelled needs --predictions MODEL"),
        (["{source}", "{out}", "--predictions", "none"], "none: no such model"),
        (["{source}", "{out}", "--device", "cpu"], "--device is where --predictions MODEL"),
        (["{out}", "{out}", "--predictions", "small", "--unlabelled"], "no such folder"),
    ],
)
def test_bad_input_is_one_line_and_makes_nothing(
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    filled = [argument.format(source=source, out=tmp_path / "out") for argument in arguments]
    assert main(["data", "pack", *filled]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and says in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_an_exported_model_as_teacher_is_refused_as_such(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    runtime: Any = SimpleNamespace(size=None)
    exported = Segmenter(runtime, InputConfig(), COMMA10K, "m.onnx")
    monkeypatch.setattr("dashseg.inference.loading.load", lambda *_, **__: exported)
    arguments = ["data", "pack", str(source), str(tmp_path / "out"), "--predictions", "m.onnx"]
    assert main(arguments) == 2
    assert "m.onnx is an exported model" in capsys.readouterr().err
