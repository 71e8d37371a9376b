"""The file names of a run directory and of a model directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dashseg.errors import InputError, command
from dashseg.files import lock, make_folder, write_json, write_text
from dashseg.outputs import entries, replace_folder

CONFIG, WEIGHTS = "config.json", "model.safetensors"  # the files of a model directory
EXPORT = "export.json"  # what an export folder says of its files
LOCK_PATIENCE = 10.0  # seconds: loader processes keep a killed process's lock for 5


class RunDirectory:
    """A run: its folder `root` and the paths in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.recipe = root / "recipe.yaml"
        self.environment = root / "environment.json"
        self.metrics = root / "metrics.csv"
        self.curves = root / "curves.png"
        self.last = root / "checkpoints" / "last.ckpt"
        self.previous = root / "checkpoints" / "previous.ckpt"
        self.best = root / "checkpoints" / "best.ckpt"
        self.model = root / "model"

    def check_free(self) -> None:
        """Raise InputError if `root` exists and is not an empty folder."""
        if entries(self.root) or (os.path.lexists(self.root) and not self.root.is_dir()):
            raise InputError(
                f"{self.root} exists: give this run another --name, or resume the old one:"
                f" {command(f'train --resume {self.root}')}"
            )

    def create(self, recipe: str, environment: dict[str, Any]) -> None:
        """Make the folder of a new run with everything that `--resume` needs, or nothing.

        Args:
            recipe: text of recipe.yaml.
            environment: content of environment.json.

        Raises:
            InputError: the name is taken, perhaps by another process since `check_free`, or the
                folder is not writable.
        """
        try:
            with replace_folder(self.root, last=self.recipe.name) as folder:
                made = RunDirectory(folder)
                write_text(made.recipe, recipe)
                write_json(made.environment, environment)
                make_folder(made.last.parent)
        except InputError:
            self.check_free()  # its message is better
            raise

    @contextmanager
    def held(self) -> Iterator[None]:
        """Prevent `dashseg train` in other processes from training or evaluating this run.

        Raises:
            InputError: another process trains or evaluates it.
        """
        taken = f"{self.root} is being trained or evaluated by another process"
        with lock(self.root / ".lock", taken, LOCK_PATIENCE):
            yield

    def check_resumable(self) -> None:
        """Raise InputError unless this is a run."""
        if not self.recipe.is_file():
            raise InputError(f"{self.root}: not a run (no {self.recipe.name})")
