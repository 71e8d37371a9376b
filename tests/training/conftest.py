from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashseg.config import Recipe, load_recipe


@pytest.fixture(scope="session")
def tiny_recipe(tiny: list[str], scenes: Path) -> Callable[..., Recipe]:
    """Make a tiny recipe of two epochs with further changes: tiny_recipe("training.epochs=1")."""

    def make(*changes: str) -> Recipe:
        return load_recipe(None, [*tiny, "training.epochs=2", f"data.root={scenes}", *changes])

    return make


@pytest.fixture(autouse=True)
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """No curves.png: drawing it takes longer than a tiny epoch. Fixtures of a module draw it."""
    monkeypatch.setattr("dashseg.training.history.draw_curves", lambda metrics, picture: None)


@pytest.fixture
def stop_before() -> Callable[[int, Path, Recipe], None]:
    """stop_before(batch, root, recipe): train, and press Ctrl-C before a batch."""

    def stop_before(batch: int, root: Path, recipe: Recipe) -> None:
        from dashseg.training.loop import Loop
        from dashseg.training.run import Interrupted, train_run

        train = Loop.train_batch

        def stop(self: Loop, item: Any) -> Any:
            if self.batch == batch:
                raise KeyboardInterrupt
            return train(self, item)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
            patch.setattr(Loop, "train_batch", stop)
            train_run(recipe, root, say=lambda text: None)

    return stop_before
