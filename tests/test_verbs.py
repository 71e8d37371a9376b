"""The verbs as functions: what they return, what they write, and that they do as the commands."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dashseg
from dashseg.config import load_recipe
from dashseg.errors import InputError
from dashseg.training.failures import Finished
from dashseg.verbs import data_settings


@pytest.fixture(scope="module")
def run(scenes: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> dashseg.Run:
    runs = tmp_path_factory.mktemp("runs")
    return dashseg.train("demo", data=scenes, overrides=tiny, name="mine", runs=runs)


def test_training_returns_the_run_with_what_its_evaluation_measured(run: dashseg.Run) -> None:
    assert (run.path.name, (run.path / "model/config.json").is_file()) == ("mine", True)
    assert run.metrics is not None and run.metrics.folder == run.path / "evaluation/scenes-val"
    written = json.loads((run.metrics.folder / "metrics.json").read_text())
    assert written == run.metrics.to_dict()
    assert run.metrics.iou.keys() == set(dashseg.load(run).classes.names)


def test_a_run_and_its_metrics_show_themselves(run: dashseg.Run) -> None:
    assert str(run.path) in repr(run) and "mIoU" in repr(run)
    shown = run._repr_html_()
    assert "data:image/png;base64," in shown and "<th>lane markings</th>" in shown
    assert "not evaluated" in repr(dashseg.Run(run.path))


def test_names_in_a_notebook_are_text_and_not_markup(run: dashseg.Run) -> None:
    shown = dashseg.Run(Path("a<script>"))._repr_html_()
    assert "<script>" not in shown and "a&lt;script&gt;" in shown


def test_a_recipe_can_be_an_object_and_then_needs_a_name(
    scenes: Path, tiny: list[str], tmp_path: Path
) -> None:
    recipe = load_recipe("demo", [*tiny, "evaluation.run=false"])
    with pytest.raises(InputError, match="name the run"):
        dashseg.train(recipe, data=scenes, runs=tmp_path)
    made = dashseg.train(
        recipe, data=scenes, runs=tmp_path, name="own", overrides=["training.seed=5"]
    )
    assert made.metrics is None
    assert load_recipe(made.path / "recipe.yaml").training.seed == 5


def test_a_taken_name_is_an_error(run: dashseg.Run, scenes: Path) -> None:
    with pytest.raises(InputError, match="exists"):
        dashseg.train("demo", data=scenes, name="mine", runs=run.path.parent)


def test_resume_trains_on_and_evaluates_and_a_finished_run_says_so(
    scenes: Path, tiny: list[str], tmp_path: Path
) -> None:
    first = dashseg.train("demo", data=scenes, overrides=tiny, runs=tmp_path)
    with pytest.raises(Finished, match="all 1 epochs are done"):
        dashseg.resume(first)
    more = dashseg.resume(first.path, overrides=["training.epochs=2"])
    assert more.path == first.path == tmp_path / "demo"
    assert more.metrics is not None
    assert len((more.path / "metrics.csv").read_text().splitlines()) == 3
    # As after kill -9 during the evaluation: it alone is done again.
    shutil.rmtree(tmp_path / "demo/evaluation")
    again = dashseg.resume(first).metrics
    assert again is not None and again.confusion == more.metrics.confusion


def test_a_run_is_evaluated_into_its_own_folder_and_as_its_recipe_says(
    run: dashseg.Run, scenes: Path
) -> None:
    metrics = dashseg.evaluate(run, data=scenes, split="all", tta=["flip"])
    assert metrics.folder == run.path / "evaluation/scenes-all-flip"
    assert (metrics.data["images"], metrics.tta) == (20, ["flip"])


def test_a_model_of_no_run_is_measured_without_writing(
    model_directory: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    metrics = dashseg.evaluate(model_directory, data=scenes)
    assert metrics.folder is None and not list(tmp_path.iterdir())
    written = dashseg.evaluate(model_directory, data=scenes, out="scores")
    assert (tmp_path / "scores/report/index.html").is_file()
    assert (written.ce, written.confusion) == (metrics.ce, metrics.confusion)


def test_objects_are_evaluated_as_they_are(model_directory: Path, scenes: Path) -> None:
    frames = dashseg.open_dataset(scenes, split="val")
    segment = dashseg.load(model_directory, tta=["flip"])
    metrics = dashseg.evaluate(segment, data=frames)
    assert (metrics.tta, metrics.data["images"]) == (["flip"], 2)
    assert metrics.ce == dashseg.evaluate(model_directory, data=scenes, tta=["flip"]).ce
    with pytest.raises(InputError, match="its own tta"):
        dashseg.evaluate(segment, data=frames, tta=[])


def test_a_data_set_is_a_sequence_with_its_classes(scenes: Path) -> None:
    frames = dashseg.open_dataset(scenes)
    assert (len(frames), frames.split) == (18, "train")
    names = [name for _, _, name in frames]
    assert names == list(frames.names)
    assert frames.classes.names[0] == "road"
    with pytest.raises(InputError, match="no such folder"):
        dashseg.open_dataset(scenes / "nowhere")


def test_a_runs_data_settings_hold_elsewhere_but_for_its_split_file(
    run: dashseg.Run, scenes: Path
) -> None:
    settings = data_settings(str(run.path), "elsewhere", overrides=["data.parts=[imgs2]"])
    assert (settings.root, settings.split, settings.parts) == ("elsewhere", None, ("imgs2",))


def test_a_run_that_learnt_from_its_own_average_is_evaluated_elsewhere(run: dashseg.Run) -> None:
    """`data.unlabelled` without a teacher is valid only beside `training.ema_decay`."""
    changes = ["training.ema_decay=0.9", "data.unlabelled=[drives]"]
    assert data_settings(str(run.path), "elsewhere", overrides=changes).root == "elsewhere"


@pytest.mark.parametrize("statement", ["import dashseg", "from dashseg.cli import main"])
def test_an_import_brings_in_nothing_heavy(statement: str) -> None:
    code = (
        f"import sys; {statement};"
        "heavy = {'torch', 'lightning', 'matplotlib', 'cv2', 'numpy', 'pydantic'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
