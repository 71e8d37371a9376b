"""What the package says about its licence."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.licenses import canonicalize_license_expression

ROOT = Path(__file__).resolve().parents[1]


def test_code_and_the_weights_that_the_wheel_carries_are_under_mit() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    expression = project["license"]
    assert canonicalize_license_expression(expression) == expression == "MIT"
    texts = [(ROOT / file).read_text("utf-8") for file in project["license-files"]]
    assert texts[0].startswith("MIT License")
    assert "## Terms" in texts[1]  # of the weights: what they learnt from, and its terms
