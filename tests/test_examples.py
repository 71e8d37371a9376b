"""The examples run: those of docstrings, of docs/python.md, and the notebook."""

from __future__ import annotations

import doctest
import functools
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import dashseg
from dashseg.scenes.scene import render_scene

ROOT = Path(__file__).parents[1]
PACKAGE = Path(dashseg.__file__).parent
PAGE = (ROOT / "docs" / "python.md").read_text("utf-8")
TOUR = ROOT / "docs" / "tour.ipynb"


@pytest.fixture(autouse=True, scope="module")
def each_scene_is_drawn_once() -> Iterator[None]:
    """The examples use the same few, which take longer to draw than to learn from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dashseg.data.synthetic.render_scene", functools.cache(render_scene))
        yield


def modules_with_examples() -> Iterator[str]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>> " in path.read_text("utf-8"):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_examples_of_docstrings_print_what_they_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    examples = doctest.DocTestFinder().find(module)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    examples.sort(key=lambda example: example.lineno or 0)  # later ones use earlier ones' files
    for example in examples:
        runner.run(example)
    assert runner.tries > 0 and runner.failures == 0


def test_the_python_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "docs/python.md", "exec"), names)
    for written in ("seen.jpg", "scores/metrics.json", "runs/mine/metrics.csv", "own/config.json"):
        assert (tmp_path / written).is_file()


def test_the_functions_that_the_python_page_lists_exist() -> None:
    listed = re.findall(r"^\| `dashseg [a-z ]+` \| `([\w.]+)\(", PAGE, re.MULTILINE)
    assert len(listed) > 5
    for path in listed:
        module, _, function = path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function))


def test_the_tour_runs_and_is_saved_without_outputs(tmp_path: Path) -> None:
    tour = nbformat.read(TOUR, as_version=4)
    assert not any(cell.get("outputs") for cell in tour.cells)
    client = NotebookClient(tour, resources={"metadata": {"path": str(tmp_path)}}, timeout=300)
    client.execute()
    shown = [out for cell in tour.cells for out in cell.get("outputs", ()) if "data" in out]
    assert any("text/html" in out["data"] for out in shown)
