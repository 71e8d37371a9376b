"""The whole road by the command line: draw, train, evaluate, predict."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dashseg.cli import main
from dashseg.labels import COMMA10K, read_mask


@pytest.fixture(scope="module")
def road(tiny: list[str], tmp_path_factory: pytest.TempPathFactory):
    """A folder with scenes/ and runs/first, made by the commands that a user would type."""
    root = tmp_path_factory.mktemp("road")
    scenes, runs = str(root / "scenes"), str(root / "runs")
    drawn = main(
        ["data", "synth", scenes, "--n", "20", "--seed", "3", "--size", "109x145", "--workers", "1"]
    )
    assert drawn == 0
    changes = [part for change in tiny for part in ("--set", change)]
    trained = main(
        ["train", "--recipe", "demo", "--data", scenes, "--runs", runs, "--name", "first", *changes]
    )
    assert trained == 0
    return root


def test_training_ends_with_an_evaluation_and_its_report(road: Any) -> None:
    folder = road / "runs/first/evaluation/scenes-val"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["schema"] == 1
    assert metrics["data"]["images"] == 2 and metrics["data"]["split"] == "val"
    assert set(metrics["ce"]) == {"native", "padded_896x1184", "square_256"}
    assert (folder / "report/index.html").is_file()
    with (folder / "per_image.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2


def test_evaluate_prints_json_and_takes_another_split_and_folder(
    road: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", str(road / "runs/first"), "--data", str(road / "scenes")]
    arguments += ["--split", "all", "--out", str(tmp_path / "out"), "--tta", "flip", "--json"]
    capsys.readouterr()
    assert main(arguments) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["data"]["images"] == 20 and metrics["tta"] == ["flip"]
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == metrics


def test_an_evaluation_with_augmentation_leaves_the_plain_one_be(road: Any) -> None:
    run = road / "runs/first"
    before = (run / "evaluation/scenes-val/metrics.json").read_bytes()
    assert main(["evaluate", str(run), "--data", str(road / "scenes"), "--tta", "flip"]) == 0
    assert (run / "evaluation/scenes-val/metrics.json").read_bytes() == before
    assert (run / "evaluation/scenes-val-flip/metrics.json").is_file()


def test_an_evaluation_takes_a_runs_own_settings_unless_told_otherwise(
    road: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "flipped"
    shutil.copytree(road / "runs/first", run)
    recipe = run / "recipe.yaml"
    text = recipe.read_text()
    assert "  tta: []\n  examples: 8\n" in text
    recipe.write_text(text.replace("  tta: []\n  examples: 8\n", "  tta: [flip]\n  examples: 0\n"))
    arguments = ["evaluate", str(run), "--data", str(road / "scenes"), "--json"]
    for given, tta in (([], ["flip"]), (["--tta", "none"], []), (["--tta", "multiscale"], None)):
        capsys.readouterr()
        assert main([*arguments, *given]) == 0
        assert json.loads(capsys.readouterr().out)["tta"] == (
            ["multiscale"] if tta is None else tta
        )
    flipped = run / "evaluation/scenes-val-flip/report"
    assert not list(flipped.rglob("*.jpg")) and list(road.rglob("scenes-val/report/**/*.jpg"))
    capsys.readouterr()
    assert main(["evaluate", str(run / "model"), *arguments[2:]]) == 0  # is of the same run
    assert json.loads(capsys.readouterr().out)["tta"] == ["flip"]
    assert main([*arguments, "--tta", "none", "--tta", "flip"]) == 2
    assert "choose of flip, multiscale" in capsys.readouterr().err


def test_figures_of_other_data_are_never_overwritten(
    road: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another folder of the same name, and other frames of the same folder."""
    run = tmp_path / "run"
    shutil.copytree(road / "runs/first", run)
    other = tmp_path / "scenes"
    assert (
        main(
            [
                "data",
                "synth",
                str(other),
                "--n",
                "10",
                "--seed",
                "4",
                "--size",
                "109x145",
                "--workers",
                "1",
            ]
        )
        == 0
    )
    held = run / "evaluation/scenes-val"
    before = (held / "metrics.json").read_bytes()
    arguments = ["evaluate", str(run), "--data", str(other)]
    for _ in range(2):  # the second time the first one's are replaced
        assert main(arguments) == 0
        assert "scenes-val-2/report" in capsys.readouterr().out
    second = json.loads((run / "evaluation/scenes-val-2/metrics.json").read_text())
    assert second["data"]["root"] == str(other)
    for part in ("imgs2", "masks2"):
        (other / part).mkdir()
    for folder in ("imgs", "masks"):
        for path in (other / folder).iterdir():
            shutil.copy(path, other / f"{folder}2/x{path.name}")
    assert main([*arguments, "--set", "data.parts=[imgs2]"]) == 0
    assert (held / "metrics.json").read_bytes() == before
    assert (run / "evaluation/scenes-val-3/metrics.json").is_file()


def test_a_device_that_is_not_there_leaves_no_run(
    road: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--recipe", "demo", "--data", str(road / "scenes")]
    assert main([*arguments, "--runs", str(tmp_path / "runs"), "--device", "cuda:99"]) == 2
    assert "'cuda:99' is not available" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_evaluate_a_bare_model_wants_an_output_folder(
    road: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    model = road / "elsewhere"
    model.mkdir()
    for file in (road / "runs/first/model").iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    assert main(["evaluate", str(model), "--data", str(road / "scenes")]) == 2
    assert "--out" in capsys.readouterr().err


def test_a_runs_split_file_holds_in_its_evaluation(
    road: Any, tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(path.stem for path in (road / "scenes/imgs").glob("*.png"))
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": names[:12], "val": names[12:15]}))
    changes = [part for change in tiny for part in ("--set", change)]
    arguments = ["train", "--recipe", "demo", "--data", str(road / "scenes"), "--split", str(split)]
    assert main([*arguments, "--runs", str(tmp_path), "--name", "cut", *changes]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "cut"), "--data", str(road / "scenes"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["images"] == 3 and data["split"] == str(split)
    environment = json.loads((tmp_path / "cut/environment.json").read_text())
    assert environment["data"]["split"] == str(split)


def test_predict_writes_masks_at_the_frames_size_and_reports_what_it_skipped(
    road: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    picture = np.random.default_rng(0).integers(0, 256, (70, 101, 3), dtype=np.uint8)
    cv2.imwrite(str(frames / "good.png"), picture)
    (frames / "bad.png").write_text("this is text")
    out = tmp_path / "out"
    arguments = ["predict", str(road / "runs/first"), str(frames), "--out", str(out)]
    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert "1 frames segmented" in shown.out and "bad.png" in shown.err
    assert read_mask(out / "masks/good.png", COMMA10K).shape == (70, 101)
    assert main(arguments) == 1  # the same call resumes
    assert "0 frames segmented" in (said := capsys.readouterr().out) and "1 were there" in said
    assert main([*arguments, "--overwrite"]) == 1


def test_summary_of_a_run(road: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", str(road / "runs/first")]) == 0
    shown = capsys.readouterr().out
    assert "Conv2d" in shown and "mult-adds" in shown


def test_training_can_draw_its_own_scenes(
    tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [part for change in [*tiny, "evaluation.run=false"] for part in ("--set", change)]
    arguments = ["train", "--recipe", "demo", "--data", "synthetic:10:4", "--runs", str(tmp_path)]
    assert main([*arguments, *changes]) == 0
    assert "9 frames, validating on 1" in capsys.readouterr().out
