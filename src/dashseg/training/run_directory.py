"""Where the files of a run lie, and what it takes to repeat it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashseg.config import RECIPE_IN_RUN
from dashseg.errors import InputError
from dashseg.files import lock, make_folder, read_json, replace_folder, write_json, write_text
from dashseg.training.processes import Processes

_PATIENCE = 10.0  # seconds: a killed process's loader processes take 5 to notice

_VERSIONS_OF = ("dashseg", "torch", "lightning", "kornia", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class RunDirectory:
    """A run: `root` and the paths within it."""

    root: Path

    @property
    def recipe(self) -> Path:
        return self.root / RECIPE_IN_RUN

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


def describe_environment(
    argv: Sequence[str], seed: int, data: dict[str, Any], processes: Processes
) -> dict[str, Any]:
    """What the run ran with: command, seed, versions, hardware, commit, data.

    With the recipe beside it, what it takes to repeat the run.
    """
    import torch

    properties = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(argv),
        "seed": seed,
        "processes": processes.world,
        "machines": processes.nodes,
        "python": sys.version.split()[0],
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONS_OF},
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [f"{p.name}, {p.total_memory / 2**30:.0f} GiB" for p in properties],
        "commit": _commit(),
        "data": data,
    }


def note_resume(run: RunDirectory, environment: dict[str, Any]) -> None:
    """Add where and with what a run was gone on with to its environment.json.

    Raises:
        InputError: it is there and cannot be read, or cannot be written.
    """
    known = read_json(run.environment) if run.environment.exists() else {}
    known["resumed"] = [*known.get("resumed", []), environment]
    write_json(run.environment, known)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()


def _commit() -> str | None:
    """The commit of the checkout that dashseg runs from; None for an installed package."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
