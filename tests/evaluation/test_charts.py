"""Charts as SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from dashseg.evaluation.charts import loss_histogram, training_curves
from dashseg.evaluation.totals import LOSS_EDGES

HEADER = "epoch,step,train_loss,val_loss,val_miou,learning_rate,images_per_s\n"


def texts(svg: str) -> list[str]:
    return [
        "".join(node.itertext()).strip() for node in ET.fromstring(svg).iter() if "text" in node.tag
    ]


def write(path: Path, rows: str) -> Path:
    path.write_text(HEADER + rows, encoding="utf-8")
    return path


def test_the_histogram_names_the_data_sets_loss() -> None:
    counts = np.zeros(len(LOSS_EDGES) - 1, np.int64)
    counts[20:24] = 3, 8, 5, 1
    assert "data set: 0.0345" in texts(loss_histogram(counts, 0.0345))


def test_a_histogram_of_one_frame_is_drawn() -> None:
    for place in (0, len(LOSS_EDGES) - 2):
        counts = np.zeros(len(LOSS_EDGES) - 1, np.int64)
        counts[place] = 1
        assert "frames" in texts(loss_histogram(counts, 0.5))


def test_curves_leave_out_empty_cells_and_the_half_line_of_a_stopped_run(tmp_path: Path) -> None:
    rows = "0,10,0.9,,,1e-3,5\n1,20,0.7,0.8,0.4,1e-3,5\n2,30,nan,0.6,0.5,1e-3,5\n3,40,0.5,0."
    charts = training_curves(write(tmp_path / "metrics.csv", rows))
    assert set(charts) == {"loss", "miou"}
    assert {"training", "validation", "epoch"} <= set(texts(charts["loss"]))
    assert "training" not in texts(charts["miou"])


def test_a_run_that_was_never_validated_has_no_miou_curve(tmp_path: Path) -> None:
    assert set(training_curves(write(tmp_path / "metrics.csv", "0,10,0.9,,,1e-3,5\n"))) == {"loss"}
    assert training_curves(write(tmp_path / "metrics.csv", "")) == {}


def test_the_same_numbers_give_the_same_file(tmp_path: Path) -> None:
    metrics = write(tmp_path / "metrics.csv", "0,10,0.9,0.8,0.4,1e-3,5\n1,20,0.7,0.8,0.4,1e-3,5\n")
    assert training_curves(metrics) == training_curves(metrics)
