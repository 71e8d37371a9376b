"""A tiny network and tiny scenes: an epoch takes a second."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dashseg.config import Recipe, load_recipe
from dashseg.scenes import synthesise

TINY = (
    "model.input.size=[64, 96]",
    "model.encoder.output_stride=32",
    "model.encoder.width=0.25",
    "model.aspp.channels=16",
    "training.batch_size=4",
    "training.epochs=2",
    "training.precision=float32",
    "training.loggers=[]",
    "data.workers=0",
)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty scenes in comma10k's layout: 18 for training, 2 for validation."""
    folder = tmp_path_factory.mktemp("data") / "scenes"
    synthesise(folder, 20, seed=5, workers=1, size=(109, 145))
    return folder


@pytest.fixture(scope="session")
def tiny_recipe(scenes: Path) -> Callable[..., Recipe]:
    """Make a tiny recipe with further changes: tiny_recipe("training.epochs=1")."""

    def make(*changes: str) -> Recipe:
        return load_recipe(None, [*TINY, f"data.root={scenes}", *changes])

    return make
