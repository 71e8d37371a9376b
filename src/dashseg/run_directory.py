"""Where the files of a run and of a model directory lie: the one place that names them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashseg.errors import InputError
from dashseg.files import lock, make_folder, replace_folder, write_json, write_text

CONFIG, WEIGHTS = "config.json", "model.safetensors"  # the files of a model directory
_PATIENCE = 10.0  # seconds: a killed process's loader processes take 5 to notice


@dataclass(frozen=True)
class RunDirectory:
    """A run: `root` and the paths within it."""

    root: Path

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.yaml"

    @property
    def environment(self) -> Path:
        return self.root / "environment.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.csv"

    @property
    def curves(self) -> Path:
        return self.root / "curves.png"

    @property
    def last(self) -> Path:
        return self.root / "checkpoints" / "last.ckpt"

    @property
    def previous(self) -> Path:
        return self.root / "checkpoints" / "previous.ckpt"

    @property
    def best(self) -> Path:
        return self.root / "checkpoints" / "best.ckpt"

    @property
    def model(self) -> Path:
        return self.root / "model"

    def check_free(self) -> None:
        """Raise InputError if the name is taken."""
        if self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
            raise InputError(
                f"{self.root} exists: give this run another --name, or go on with the old one:"
                f" dashseg train --resume {self.root}"
            )

    def create(self, recipe: str, environment: dict[str, Any]) -> None:
        """Make the folder of a new run, with all that `--resume` needs, or nothing.

        Raises:
            InputError: the name is taken, also by a run that was made since `check_free`, or the
                folder cannot be written.
        """
        try:
            with replace_folder(self.root.resolve(), keep_old=True) as folder:
                made = RunDirectory(folder)
                write_text(made.recipe, recipe)
                write_json(made.environment, environment)
                make_folder(made.last.parent)
        except InputError:
            self.check_free()  # has the better words for it
            raise

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from training or evaluating this run by `dashseg train`.

        Raises:
            InputError: another one does.
        """
        taken = f"{self.root} is being trained or evaluated by another process"
        with lock(self.root / ".lock", taken, _PATIENCE):
            yield

    def check_resumable(self) -> None:
        """Raise InputError unless this is a run."""
        if not self.recipe.is_file():
            raise InputError(f"{self.root}: not a run (no {self.recipe.name})")
