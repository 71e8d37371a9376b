"""The card says what was measured, on what, and what the training data permits; nothing private."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

import dashseg
from dashseg.config import load_recipe
from dashseg.errors import InputError

BENCH = {
    "schema": 1,
    "machine": {"processor": "Some CPU", "threads": 2, "packages": {"torch": "2.13"}},
    "size": [36, 64],
    "rows": [
        {"runtime": "onnxruntime", "precision": "int8", "ms_median": 7.5, "throughput_fps": 210.0,
         "miou": 0.8}
    ],
}  # fmt: skip


def front_matter(card: str) -> Any:
    """As the hub's client reads it."""
    return ModelCard(card).data


@pytest.fixture
def run(tmp_path: Path, model_directory: Path) -> Path:
    """A run with an evaluation, as train leaves it."""
    root = tmp_path / "private" / "runs" / "mine"
    shutil.copytree(model_directory, root / "model")
    data = str(tmp_path / "private" / "frames")
    recipe = load_recipe(None, [f"data.root={data}", "training.seed=7"])
    (root / "recipe.yaml").write_text(recipe.to_yaml())
    known = {
        "train": {"images": 18, "fingerprint": "a"}, "val": {"images": 2, "fingerprint": "b"},
        "sources": [{"root": data, "kind": "comma10k", "images": 18}],
    }  # fmt: skip
    (root / "environment.json").write_text(json.dumps({"data": known}))
    folder = root / "evaluation" / "frames-val"
    folder.mkdir(parents=True)
    weights = (root / "model" / "model.safetensors").read_bytes()
    metrics = {
        "schema": 1, "weights": hashlib.sha256(weights).hexdigest(), "tta": ["flip"],
        "data": {"root": data, "kind": "comma10k", "split": "val", "images": 2, "fingerprint": "b"},
        "ce": {"native": 0.125}, "miou": 0.75, "iou": {"road": 0.875, "my | car": None},
        "intervals": {"miou_95": [0.7, 0.8], "ce_native_95": None},
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return root


@pytest.fixture
def card_of(tmp_path: Path) -> Callable[..., str]:
    """card_of(model, …) -> the card of a dry run."""

    def write(model: Any, license: str = "mit", **options: Any) -> str:
        out = tmp_path / "dry"
        dashseg.push(model, "me/roads", license=license, dry_run=out, **options)
        text = (out / "README.md").read_text()
        shutil.rmtree(out)
        return text

    return write


def test_the_front_matter_is_the_hubs(run: Path, card_of: Callable[..., str]) -> None:
    data = front_matter(card_of(run))
    assert (data.license, data.pipeline_tag, data.library_name) == (
        "mit", "image-segmentation", "dashseg",
    )  # fmt: skip
    assert {"semantic-segmentation", "comma10k"} <= set(data.tags)
    scores = {result.metric_name: result.metric_value for result in data.eval_results}
    assert scores == {"mIoU": 0.75, "cross-entropy": 0.125, "IoU road": 0.875}
    assert data.eval_results[0].metric_args == {"interval_95": [0.7, 0.8]}
    assert data.eval_results[0].dataset_split == "val"


def test_the_text_says_scores_data_recipe_and_digest(
    run: Path, card_of: Callable[..., str]
) -> None:
    text = card_of(run)
    digest = hashlib.sha256((run / "model/model.safetensors").read_bytes()).hexdigest()
    for line in (
        "| mIoU | 0.7500 | 0.7000–0.8000 |",
        "| frames | 18 | MIT | permitted |",
        "These frames were held out of training",
        "With test-time augmentation: flip.",
        "seed: 7",
        digest,
    ):
        assert line in text
    assert "private" not in text and "| IoU my   car | – |" in text
    recipe = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    assert recipe == {"data": {"root": "frames"}, "training": {"seed": 7}}


def test_scores_of_other_weights_are_left_out(run: Path, card_of: Callable[..., str]) -> None:
    file = run / "evaluation/frames-val/metrics.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"weights": "0"}))
    assert "Not evaluated" in card_of(run)
    with pytest.raises(InputError, match="scores of other weights"):
        card_of(run, metrics=[file])


def test_frames_that_were_trained_on_are_called_so(run: Path, card_of: Callable[..., str]) -> None:
    file = run / "evaluation/frames-val/metrics.json"
    values = json.loads(file.read_text())
    values["data"]["fingerprint"] = "a"
    file.write_text(json.dumps(values))
    assert "**The model was trained on these frames.**" in card_of(run)


def test_speed_comes_from_bench(run: Path, card_of: Callable[..., str], tmp_path: Path) -> None:
    bench = tmp_path / "bench.json"
    bench.write_text(json.dumps(BENCH))
    text = card_of(run, bench=bench)
    assert "At 36×64 on Some CPU, 2 threads" in text
    assert "| onnxruntime | int8 | 7.5 | 210.0 | 0.8000 |" in text
    bench.write_text("[]")
    with pytest.raises(InputError, match="not what `dashseg bench MODEL --json` prints"):
        card_of(run, bench=bench)


@pytest.mark.parametrize("text", ["{}", "[]", '{"schema": 1, "iou": {}, "weights": 1}'])
def test_a_metrics_file_that_is_none_is_an_error(
    text: str, run: Path, card_of: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(InputError, match=r"metrics\.json"):
        card_of(run, metrics=[tmp_path / "metrics.json"])


def test_the_authors_card_is_kept_and_completed(run: Path, card_of: Callable[..., str]) -> None:
    own = run / "model" / "README.md"
    own.write_text("---\ntags: [mine]\n---\n# My words\n")
    text = card_of(run)
    assert "# My words" in text and front_matter(text).tags == ["mine"]
    assert front_matter(text).license == "mit"
    assert "# My words" not in card_of(run, new_card=True)
    own.write_text("---\nlicense: apache-2.0\n---\n")
    with pytest.raises(InputError, match="says license"):
        card_of(run)
    own.write_text("---\n- a list\n---\n")
    with pytest.raises(InputError, match="front matter"):
        card_of(run)


@pytest.mark.parametrize("through", ["extra", "weights", "teacher", "pack"])
def test_data_that_forbids_it_is_found_in_extra_data_first_weights_and_the_teacher(
    through: str, run: Path, card_of: Callable[..., str], tmp_path: Path
) -> None:
    camvid = tmp_path / "CamVid"
    if through == "extra":
        change = f"data.extra=[{{root: {camvid}, dataset: camvid}}]"
    elif through == "pack":  # the pack noted it, and the run
        change = "loss.teacher.model=pack"
        terms = "CamVid: non-commercial research"
        source = {"name": "CamVid", "images": 5, "terms": terms, "commercial_use": False}
        noted = json.loads((run / "environment.json").read_text())
        noted["data"]["teacher"] = {"model": "large", "digest": "1", "trained_on": [source]}
        (run / "environment.json").write_text(json.dumps(noted))
    else:
        first = tmp_path / "first"
        shutil.copytree(run, first)
        recipe = load_recipe(None, [f"data.root={camvid}", "data.dataset=camvid"])
        (first / "recipe.yaml").write_text(recipe.to_yaml())
        key = "model.weights" if through == "weights" else "loss.teacher.model"
        change = f"{key}={first}"
    (run / "recipe.yaml").write_text(load_recipe(None, ["data.root=synthetic:4", change]).to_yaml())
    with pytest.raises(InputError, match="CamVid: non-commercial research"):
        card_of(run)
    text = card_of(run, license="other", non_commercial=True)
    assert "**not permitted**" in text and "Use this model for nothing else" in text
    assert front_matter(text).license_name == "non-commercial-training-data"


def test_training_data_without_labels_has_its_frames_and_a_teachers_data_its_teacher(
    run: Path, card_of: Callable[..., str], tmp_path: Path
) -> None:
    noted = json.loads((run / "environment.json").read_text())
    entry = {"root": str(tmp_path / "drive"), "kind": "unlabelled", "images": 17}
    noted["data"]["unlabelled"] = {"images": 17, "sources": [entry]}
    source = {"name": "frames", "images": 5, "terms": "MIT", "commercial_use": True}
    noted["data"]["teacher"] = {"model": "large", "digest": "1", "trained_on": [source]}
    (run / "environment.json").write_text(json.dumps(noted))
    changes = [
        "data.root=synthetic:4", "loss.teacher.model=pack", f"data.unlabelled=[{entry['root']}]"
    ]  # fmt: skip
    (run / "recipe.yaml").write_text(load_recipe(None, changes).to_yaml())
    rows = [[cell.strip() for cell in line.split("|")] for line in card_of(run).splitlines()]
    counts = {row[1]: row[2] for row in rows if len(row) == 6}
    assert counts["drive, without labels"] == "17"
    assert counts["frames, through `large`"] == "5"
