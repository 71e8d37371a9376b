from collections.abc import Callable
from pathlib import Path

import pytest

from dashseg.config import Recipe, load_recipe


@pytest.fixture(scope="session")
def tiny_recipe(tiny: list[str], scenes: Path) -> Callable[..., Recipe]:
    """Make a tiny recipe of two epochs with further changes: tiny_recipe("training.epochs=1")."""

    def make(*changes: str) -> Recipe:
        return load_recipe(None, [*tiny, "training.epochs=2", f"data.root={scenes}", *changes])

    return make
