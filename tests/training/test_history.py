import csv
from pathlib import Path

import pytest

from dashseg.run_directory import RunDirectory
from dashseg.training.history import COLUMNS, is_best, write_history


@pytest.fixture
def without_curves() -> None:
    """They are drawn here."""


@pytest.mark.parametrize(
    ("monitor", "values", "best"),
    [
        ("val_miou", [0.5, 0.6], True),
        ("val_miou", [0.6, 0.6], False),
        ("val_loss", [0.5, 0.6], False),
        ("val_loss", [0.6, None, 0.5], True),
        ("val_loss", [0.5, None], False),
        ("val_loss", [float("nan"), 0.5], True),
        ("val_loss", [0.5, float("nan")], False),
        ("val_loss", [0.5], True),
    ],
)
def test_the_monitor_decides_which_epoch_is_best(
    monitor: str, values: list[float | None], best: bool
) -> None:
    assert is_best([{monitor: value} for value in values], monitor) == best


def test_an_epoch_without_validation_has_empty_cells(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    row = {
        "epoch": 0, "step": 4, "train_loss": 0.123456789, "learning_rate": 1e-3,
        "images_per_s": None,
    }  # fmt: skip
    write_history(run, [row, row | {"epoch": 1, "val_loss": 0.5, "val_miou": 0.25, "extra": 1}])
    with run.metrics.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert tuple(first) == COLUMNS
    assert first["val_loss"] == first["images_per_s"] == "" and first["train_loss"] == "0.123457"
    assert second["val_miou"] == "0.25"
    assert run.curves.read_bytes().startswith(b"\x89PNG")
