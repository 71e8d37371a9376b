"""environment.json: command, versions, hardware and data, to repeat a run with its recipe."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashseg.errors import InputError
from dashseg.files import read_json, write_json
from dashseg.run_directory import RunDirectory
from dashseg.training.processes import launched

_VERSIONS_OF = ("dashseg", "torch", "lightning", "kornia", "numpy", "opencv-python-headless")


def describe_environment(argv: Sequence[str], seed: int, data: dict[str, Any]) -> dict[str, Any]:
    """Describe command, seed, versions, hardware, commit and data, as plain JSON values.

    Args:
        data: as `Frames.describe` returns it.
    """
    import torch

    processes = launched()
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


def read_environment(run: RunDirectory) -> dict[str, Any]:
    """A run's environment.json; {} if there is none.

    Raises:
        InputError: the file cannot be read, or is damaged.
    """
    known = read_json(run.environment) if run.environment.exists() else {}
    if not isinstance(known, dict) or not isinstance(known.get("resumed", []), list):
        raise InputError(f"{run.environment}: damaged: delete it to resume without it")
    return known


def note_resume(run: RunDirectory, environment: dict[str, Any]) -> None:
    """Append the environment of a resumed training to "resumed" in the run's environment.json.

    Raises:
        InputError: as `read_environment`, or the file cannot be written.
    """
    known = read_environment(run)
    known["resumed"] = [*known.get("resumed", []), environment]
    write_json(run.environment, known)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()


def _commit() -> str | None:
    """The commit of dashseg's own checkout; None for an installed package."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
