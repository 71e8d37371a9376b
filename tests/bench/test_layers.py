"""`bench --layers`: what the runtimes execute, and in which precision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dashseg.cli import main
from dashseg.inference import load
from dashseg.inference.export import ExportPlan, export_model

pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")

RUNTIMES = ("onnx", "openvino")


@pytest.fixture(scope="module")
def exports(model_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layers")
    trained = load(model_directory, device="cpu")
    for format in RUNTIMES:
        export_model(trained, folder / format, ExportPlan(format, "fp32", (36, 64)))
    return folder


def profile(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["bench", str(path), "--layers", "--rounds", "2", "--json"]) == 0
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    return values


@pytest.mark.parametrize("format", RUNTIMES)
def test_every_convolution_is_listed_in_order_with_its_precision(
    exports: Path, model_directory: Path, format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = profile(exports / format, capsys)
    found = [entry for entry in values["layers"] if entry["type"] in ("Conv", "Convolution")]
    network = load(model_directory, device="cpu").network
    kinds = [type(module).__name__ for module in network.modules()]
    assert len(found) == kinds.count("Conv2d")
    assert {entry["precision"] for entry in found} == {"fp32"}
    last = {"onnx": "logits", "openvino": "classifier"}[format]  # ONNX Runtime: named by the output
    assert last in found[-1]["name"]
    assert values["size"] == [36, 64]


@pytest.mark.parametrize("format", RUNTIMES)
def test_shares_and_times_add_up(
    exports: Path, format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = profile(exports / format, capsys)
    assert all(entry["ms"] > 0 for entry in values["layers"])
    assert sum(entry["ms"] for entry in values["layers"]) == pytest.approx(values["ms"])
    assert sum(entry["share"] for entry in values["layers"]) == pytest.approx(1)
    assert sum(values["precisions"].values()) == pytest.approx(1)
    assert max(values["precisions"], key=values["precisions"].__getitem__) == "fp32"


def test_the_table_begins_with_what_takes_longest(
    exports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(exports / "openvino"), "--layers", "--rounds", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = [line.split("│")[1].strip() for line in lines if line.count("│") == 6]
    times = [float(cell) for cell in cells]
    assert len(times) > 20 and times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        ("trained", [], "--layers needs an ONNX or OpenVINO file: export it"),
        ("onnx", ["--size", "64x96"], "takes frames of 36x64 only"),
        ("onnx", ["--data", "synthetic:3"], "leave --data out"),
    ],
)
def test_what_cannot_be_profiled_is_one_line(
    exports: Path,
    model_directory: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    options: list[str],
    says: str,
) -> None:
    path = model_directory if model == "trained" else exports / model
    assert main(["bench", str(path), "--layers", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert says in error
