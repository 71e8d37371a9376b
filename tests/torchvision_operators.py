"""Makes timm importable beside PyTorch's CPU build, for tests and for the programs they start.

timm imports torchvision, and needs only what is written in Python there. The wheel of torchvision
on PyPI is made for PyTorch with CUDA. Beside PyTorch's CPU build its compiled operators do not
load, and its import fails on the first two that it looks up. So they are declared here, without
code.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_library: torch.library.Library | None = None  # it undoes its declarations when it is collected


def declare_missing() -> None:
    """Declare torchvision's operators unless its own load."""
    global _library
    found = importlib.util.find_spec("torchvision")
    if _library is not None or found is None or found.origin is None:
        return
    for compiled in Path(found.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(compiled))
            return
        except OSError:
            pass
    _library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        _library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
