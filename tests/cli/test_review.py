"""`dashseg review` as a user types it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dashseg.cli import main
from dashseg.curate.check import check
from dashseg.labels import COMMA10K, read_mask
from dashseg.scenes import synthesise

TINY = (
    "model.input.size=[40, 54]", "model.encoder.output_stride=32", "model.encoder.width=0.25",
    "model.aspp.channels=4",
    "training.epochs=1", "training.batch_size=4", "training.loggers=[]",
    "training.precision=float32", "data.workers=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty scenes of two drives."""
    folder = tmp_path_factory.mktemp("data") / "scenes"
    synthesise(folder, 20, seed=5, workers=1, size=(82, 109))
    return folder


def suspects(out: Path) -> list[dict[str, str]]:
    with (out / "suspects.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_model_reviews_a_data_set(
    scenes: Path, model_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["review", str(model_directory), "--data", str(scenes), "--out", str(out)]
    assert main([*arguments, "--top", "3"]) == 0
    assert len(suspects(out)) == 20
    assert len(list((out / "proposals").iterdir())) == 3
    for path in (out / "proposals").iterdir():
        assert read_mask(path, COMMA10K).shape == (82, 109)
    captured = capsys.readouterr()
    assert "index.html" in captured.out and "reviewing: 20/20" in captured.err

    assert main(arguments) == 2
    assert "holds a finished review" in capsys.readouterr().err


def test_proposals_can_take_the_place_of_the_masks(
    scenes: Path, model_directory: Path, tmp_path: Path
) -> None:
    """Nothing is wrong with them as files; whether they fit their frames is for people to say."""
    out, new = tmp_path / "out", tmp_path / "new"
    arguments = ["review", str(model_directory), "--data", str(scenes), "--out", str(out)]
    assert main(arguments) == 0
    shutil.copytree(scenes / "imgs", new / "imgs")
    shutil.copytree(out / "proposals", new / "masks")
    report = check(str(new), workers=1)
    assert report.pairs == 20
    assert {problem.code for problem in report.problems} <= {"suspect-shift"}


def test_json_is_what_review_json_holds(
    scenes: Path, model_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(
        ["review", str(model_directory), "--data", str(scenes), "--out", str(out), "--json",
         "--split", "val", "--top", "0"]
    ) == 0  # fmt: skip
    assert json.loads(capsys.readouterr().out) == json.loads((out / "review.json").read_text())
    assert len(suspects(out)) == 2


def test_models_of_its_own_folds_review_what_they_have_not_seen(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    changes = [part for change in TINY for part in ("--set", change)]
    arguments = ["review", "--data", str(scenes), "--out", str(out), "--folds", "2"]
    assert main([*arguments, "--recipe", "demo", *changes]) == 0
    assert capsys.readouterr().out.startswith(" ")  # the table, and nothing of the training
    table = suspects(out)
    assert len(table) == 20
    for number in ("1", "2"):
        split = json.loads((out / "folds" / f"{number}.json").read_text())
        assert {row["name"] for row in table if row["fold"] == number} == set(split["val"])
        assert (out / "folds" / number / "model" / "config.json").is_file()
    assert json.loads((out / "review.json").read_text())["out_of_fold"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either a MODEL, or --folds"),
        (["MODEL", "--folds", "2", "--recipe", "demo"], "not both"),
        (["--folds", "2"], "--folds and --recipe go together"),
        (["MODEL", "--recipe", "demo"], "--folds and --recipe go together"),
        (["--folds", "1", "--recipe", "demo"], "2 or more"),
        (["--folds", "21", "--recipe", "demo"], "there are 20 frames"),
        (["--folds", "2", "--recipe", "dmeo"], "did you mean 'demo'"),
        (["--folds", "2", "--recipe", "demo", "--device", "cuda:99"], "'cuda:99' is not available"),
        (["--folds", "2", "--recipe", "demo", "--device", "meta"], "'meta' is not available"),
        (["nowhere/at/all"], "no such model"),
        (["SCENES"], "neither a run nor a model directory"),
        (["MODEL", "--split", "test"], "expected train, val, all"),
        (["MODEL", "--dataset", "camvid"], "not CamVid"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(
    scenes: Path,
    model_directory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: Any,
    message: str,
) -> None:
    names = {"MODEL": str(model_directory), "SCENES": str(scenes)}
    arguments = [names.get(argument, argument) for argument in arguments]
    out = tmp_path / "out"
    assert main(["review", *arguments, "--data", str(scenes), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not out.exists()


def test_data_of_other_classes_is_an_error_that_names_both(
    write_folder: Any, model_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    palette = 'classes: {a: "#000001", b: "#000002"}'
    write_folder(tmp_path / "data", ["x"], palette, ("#000001", "#000002"))
    arguments = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main(["review", str(model_directory), *arguments]) == 2
    assert "has the classes a, b" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
