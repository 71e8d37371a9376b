"""A model's labels, written for another tool and read back."""

import json

import numpy as np
import pytest

import dashseg
from dashseg.errors import InputError
from dashseg.formats import import_labels
from dashseg.images import encode_png
from dashseg.inference.prelabels import prelabel_files


@pytest.fixture
def frames(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        image = rng.integers(0, 255, (64, 96, 3)).astype(np.uint8)
        (tmp_path / "in" / f"{name}.png").write_bytes(encode_png(image))
    return tmp_path / "in"


@pytest.mark.parametrize("format", ["cvat", "coco", "labelme", "label-studio", "masks"])
def test_prelabels_are_the_models_labels(segmenter, frames, tmp_path, format):
    out = tmp_path / "pre"
    report = prelabel_files(segmenter, [str(frames)], out, format, tolerance=0, smallest=1)
    assert report.written == 2
    if format == "label-studio":  # predictions become labels when somebody accepts them
        tasks = json.loads((out / "tasks.json").read_text())
        for task in tasks:
            (prediction,) = task.pop("predictions")
            assert prediction["model_version"] == segmenter.name
            assert 0 < prediction["score"] <= 1
            task["annotations"] = [prediction]
        (out / "tasks.json").write_text(json.dumps(tasks))
    import_labels(out, tmp_path / "back", workers=1)
    back = dashseg.open_dataset(str(tmp_path / "back"), split="all")
    for image, label, name in back:
        names = segmenter.classes.names
        ids = np.array([names.index(found) for found in back.classes.names])
        np.testing.assert_array_equal(ids[label], segmenter(image).label, err_msg=name)


def test_scores_are_mean_probabilities(segmenter, frames, tmp_path):
    prelabel_files(segmenter, [str(frames)], tmp_path / "pre", "label-studio")
    (task, _) = json.loads((tmp_path / "pre" / "tasks.json").read_text())
    result = segmenter(frames / "a.png")
    for part in task["predictions"][0]["result"]:
        class_id = segmenter.classes.names.index(part["value"]["brushlabels"][0])
        where = result.label == class_id
        expected = result.probabilities.max(axis=0)[where].mean()
        assert part["score"] == pytest.approx(expected, abs=1e-3)


def test_a_broken_frame_is_reported_and_nothing_at_all_is_an_error(segmenter, frames, tmp_path):
    (frames / "c.png").write_bytes(b"broken")
    report = prelabel_files(segmenter, [str(frames)], tmp_path / "pre", "cvat")
    assert report.written == 2 and "c.png" in report.unreadable[0]
    with pytest.raises(InputError, match="no frame could be read"):
        prelabel_files(segmenter, [str(frames / "c.png")], tmp_path / "none", "cvat")
    assert not (tmp_path / "none").exists()
    with pytest.raises(InputError, match="--format tvac: expected"):
        prelabel_files(segmenter, [str(frames)], tmp_path / "x", "tvac")


def test_pixels_below_the_confidence_asked_for_are_ignored(segmenter, frames, tmp_path):
    best = segmenter(frames / "a.png").probabilities.max(axis=0)
    confident = float(np.median(best))
    prelabel_files(segmenter, [str(frames)], tmp_path / "pre", "masks", confident=confident)
    import_labels(tmp_path / "pre", tmp_path / "back", workers=1)
    back = dashseg.open_dataset(str(tmp_path / "back"), split="all")
    label = back.label(back.names.index("a"))
    unclear = np.abs(best - confident) < 1e-4  # probabilities made twice
    assert ((label == 255) == (best < confident))[~unclear].all()
    assert 0.3 < (label == 255).mean() < 0.7
    with pytest.raises(InputError, match="from 0 to 1"):
        prelabel_files(segmenter, [str(frames)], tmp_path / "no", "masks", confident=1.5)
