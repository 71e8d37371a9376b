"""Every benchmark runs to its end on tiny inputs and prints figures."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
BENCHMARKS = sorted(path.stem for path in FOLDER.glob("*.py") if "def main()" in path.read_text())
WITH_SMP = importlib.util.find_spec("segmentation_models_pytorch") is not None  # by PYTHONPATH
FEWER = {
    "gpu": ["--only", "losses"],  # all of its parts take minutes
    "heads": ["--heads", "gradual", *["unet"] * WITH_SMP],
}
# They start programs that import what takes seconds, and measure no memory of them.
FORKING = {"cluster", "data_verbs", "gpu", "kill_and_resume", "train_throughput"}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_runs_with_smoke(name: str, tmp_path: Path, forks: Any) -> None:
    command = [FOLDER / f"{name}.py", "--smoke", *FEWER.get(name, ())]
    result = forks.run(*command, cwd=tmp_path, forking=name in FORKING)
    assert result.returncode == 0, result.stderr[-2000:]
    assert re.search(r"\d", result.stdout)
    assert not [*tmp_path.iterdir()]  # what it made is gone


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_says_its_command_and_what_it_prints(name: str) -> None:
    doc = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text())) or ""
    assert f"    python benchmarks/{name}.py" in doc
    assert "--smoke" in doc and re.search(r"[Pp]rint", doc)


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_uses_no_private_name(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        for name in names:
            special = name.startswith("__") and name.endswith("__")
            assert special or not name.startswith("_"), f"{path.name} uses {name}"
