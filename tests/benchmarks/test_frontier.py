"""The picture of benchmarks/frontier.py, and the figures that it is drawn from."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from dashseg.errors import InputError
from dashseg.files import read_json, write_json

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
FIGURES = BENCHMARKS / "frontier.json"
ROW = {"network": "one", "way": "INT8", "parameters": 1.0, "multiply_adds": 1.0, "ms": 10.0}

pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def frontier() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("frontier")


def test_the_picture_shows_every_network_by_its_fastest_row(frontier: Any, tmp_path: Path) -> None:
    figures = read_json(FIGURES)
    frontier.draw(figures, tmp_path / "a.svg")
    frontier.draw(figures, tmp_path / "b.svg")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for name in {row["network"] for row in figures["rows"]}:
        assert f">{name}" in text
    slow = ROW | {"way": "as it comes", "ms": 20.0}
    figures |= {"rows": [slow, ROW], "scores": {"one": [0.5, 0.6]}, "notes": {"one": "a note"}}
    frontier.draw(figures, tmp_path / "c.svg")
    assert ">one, a note, 2 seeds<" in (tmp_path / "c.svg").read_text()  # not "(as it comes)"
    frontier.draw(figures | {"rows": [slow], "notes": {}}, tmp_path / "d.svg")
    assert ">one (as it comes), 2 seeds<" in (tmp_path / "d.svg").read_text()


def test_a_score_without_a_time_is_an_error(frontier: Any, tmp_path: Path) -> None:
    figures = read_json(FIGURES)
    with pytest.raises(InputError, match="no time of two"):
        frontier.draw(figures | {"rows": [ROW], "scores": {"two": [0.5]}}, tmp_path / "a.svg")
    with pytest.raises(InputError, match="no scores"):
        frontier.draw(figures | {"scores": {}}, tmp_path / "a.svg")
    assert not [*tmp_path.iterdir()]


def test_a_new_measurement_keeps_scores_and_notes(frontier: Any, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    frontier.save(file, {"threads": 1}, [ROW])
    assert read_json(file)["scores"] == {}
    kept = {"scores": {"one": [0.5]}, "notes": {"one": "a note"}}
    write_json(file, {"settings": {}, "rows": []} | kept)
    frontier.save(file, {"threads": 2}, [ROW])
    assert read_json(file) == {"settings": {"threads": 2}, "rows": [ROW]} | kept
