"""What runs a network: frames at working size in, logits out, whichever library computes them."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dashseg.errors import InputError
from dashseg.inference.description import Description

if TYPE_CHECKING:
    from torch import Tensor

Batch = NDArray[np.uint8]  # (B, h, w, 3) RGB
Port = tuple[str, Sequence[int | None]]  # type and shape of a graph's input or output; None: free


class Runtime(Protocol):
    """A network that is ready to run on this machine. Several threads may call it at once."""

    @property
    def name(self) -> str:
        """The library: "torch", "onnxruntime" or "openvino"."""

    @property
    def size(self) -> tuple[int, int] | None:
        """The only (h, w) that it takes; None: any from 32×32 up."""

    @property
    def precision(self) -> str:
        """Of the file: "fp32", "fp16", "int8", or "unknown"."""

    @property
    def parallel(self) -> int:
        """How many calls at once, of a frame each, keep all cores busy; 1: one call uses all."""

    def __call__(self, frames: Batch) -> Tensor | NDArray[np.float32]:
        """uint8 (B, h, w, 3) RGB -> float32 logits (B, C, h', w') of the same area.

        A network of dashseg's gives them at its decoder's stride; another's may enlarge them first.
        """


@contextmanager
def explained(library: str) -> Iterator[None]:
    """Translate what a library raises while it computes to an InputError."""
    try:
        yield
    except Exception as error:  # the libraries' exceptions have no common base
        reason = " ".join(str(error).split())
        raise InputError(f"{library} cannot compute this model: {reason}") from error


def exported_size(
    path: Path, inputs: Sequence[Port], outputs: Sequence[Port], description: Description
) -> tuple[int, int] | None:
    """The only (h, w) that an exported graph takes; None: any.

    Raises:
        InputError: a graph that export does not write, or another one than `description` says.
    """
    match inputs, outputs:
        case [("uint8", [None, height, width, 3])], [("float32", [None, channels, _, _])]:
            rule = description.input
            size = None if height is None or width is None else (height, width)
            sized = (size, "squash") == (rule.size, rule.resize) or height is width is None
            if sized and channels == len(description.classes):
                return size
    raise InputError(
        f"{path}: its graph is not what dashseg exported: it takes {_ports(inputs)} and gives"
        f" {_ports(outputs)}; expected uint8 (free, height, width, 3) and float32 (free,"
        f" {len(description.classes)}, free, free). Export it again"
    )


def _ports(ports: Sequence[Port]) -> str:
    return ", ".join(
        f"{kind} ({', '.join('free' if side is None else str(side) for side in shape)})"
        for kind, shape in ports
    ) or "nothing"  # fmt: skip


def thread_limit() -> int | None:
    """How many threads the user allows, if fewer than the machine has; None: all.

    OMP_NUM_THREADS, which PyTorch follows as well, else the cores this process may run on.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if re.fullmatch("[0-9]{1,5}", asked) and int(asked) > 0:
        return int(asked)
    if not hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return None
    cores = len(os.sched_getaffinity(0))
    return cores if cores < (os.cpu_count() or cores) else None


def cores() -> int:
    """How many threads may compute at once."""
    return thread_limit() or os.cpu_count() or 1


def deploy_package(name: str) -> Any:
    """Import a package of the extra "deploy".

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"this needs the package {error.name}, of dashseg's extra 'deploy': from a clone,"
            " pip install -e '.[deploy]'"
        ) from error
