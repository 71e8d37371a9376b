"""What the package says about its licence."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.licenses import canonicalize_license_expression

ROOT = Path(__file__).resolve().parents[1]


def test_the_licence_names_the_weights_that_the_wheel_carries() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    expression = project["license"]
    assert canonicalize_license_expression(expression) == expression
    assert "MIT" in expression.split() and "LicenseRef-dashseg-small-weights" in expression.split()
    texts = [(ROOT / file).read_text("utf-8") for file in project["license-files"]]
    assert texts[0].startswith("MIT License") and "non-commercial research" in texts[1]
