"""`dashseg export`, from a model to a file that the other verbs take."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from dashseg.cli import main
from dashseg.labels import COMMA10K

pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")


def export(model: Path, out: Path, *options: str) -> int:
    return main(["export", str(model), "--out", str(out), *options])


@pytest.fixture(scope="module")
def openvino_model(model_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "openvino"
    assert export(model_directory, out, "--format", "openvino", "--data", "synthetic:10") == 0
    return out


def test_it_says_what_it_wrote_and_how_near_it_is(
    model_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(model_directory, tmp_path / "out", "--data", "synthetic:20", "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert values == json.loads((tmp_path / "out" / "export.json").read_text())
    assert values["label_agreement"] > 0.999
    assert values["miou_before"] == pytest.approx(values["miou_after"], abs=1e-3)
    assert (values["format"], values["precision"], values["size"]) == ("onnx", "fp32", "dynamic")
    assert values["bytes"] == (tmp_path / "out" / "model.onnx").stat().st_size


def test_one_that_strays_is_refused_with_the_numbers(
    model_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--precision", "fp16", "--min-agreement", "1")
    assert export(model_directory, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert "error: refused, nothing was written: labels agree on 9" in error
    assert "at least 100.00% must (largest logit difference" in error
    assert list(tmp_path.iterdir()) == []


def test_evaluate_and_predict_take_the_file_and_see_what_the_model_sees(
    model_directory: Path, openvino_model: Path, tmp_path: Path
) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8).repeat(8, 0)
    PIL.Image.fromarray(frame.repeat(8, 1)).save(tmp_path / "frame.png")
    tables, masks = [], []
    for name, model in (("trained", model_directory), ("exported", openvino_model / "model.xml")):
        out = tmp_path / name
        assert main(["predict", str(model), str(tmp_path / "frame.png"), "--out", str(out)]) == 0
        masks.append(np.asarray(PIL.Image.open(out / "masks" / "frame.png")))
        scores = [str(model), "--data", "synthetic:20", "--out", str(out / "scores")]
        assert main(["evaluate", *scores, "--examples", "0"]) == 0
        tables.append(json.loads((out / "scores" / "metrics.json").read_text()))
        assert list(csv.DictReader((out / "scores" / "per_image.csv").open()))
    assert (masks[0] == masks[1]).mean() > 0.99
    assert {tuple(colour) for colour in masks[1].reshape(-1, 3)} <= {*COMMA10K.colours}
    assert tables[0]["miou"] == pytest.approx(tables[1]["miou"], abs=1e-3)
    assert tables[0]["ce"]["native"] == pytest.approx(tables[1]["ce"]["native"], abs=1e-3)


def test_review_takes_the_file(openvino_model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert main(["data", "synth", str(data), "--n", "3"]) == 0
    out = tmp_path / "review"
    code = main(["review", str(openvino_model), "--data", str(data), "--out", str(out)])
    assert code in (0, 1)
    assert any(out.iterdir())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--format", "tflite"), "--format tflite: choose of onnx, openvino, torch"),
        (("--precision", "int8"), "--calibrate DIR"),
        (("--precision", "int8", "--calibrate", "no/such/folder"), "no/such/folder"),
        (("--size", "8x8"), "--size 8x8 is too small"),
        (("--size", "wide"), "expected HxW"),
        (("--data", "no/such/folder"), "no/such/folder"),
    ],
)
def test_bad_input_is_one_line_that_leaves_nothing(
    model_directory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    says: str,
) -> None:
    assert export(model_directory, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert says in error
    assert list(tmp_path.iterdir()) == []


def test_an_exported_file_is_no_model_to_export(
    openvino_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(openvino_model, tmp_path / "out") == 2
    assert "an exported model, which has no layers" in capsys.readouterr().err
