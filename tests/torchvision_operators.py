"""Makes timm importable in tests, also beside PyTorch's CPU build.

timm imports torchvision, and needs only what is written in Python there. The wheel of torchvision
on PyPI is made for PyTorch with CUDA. Beside PyTorch's CPU build its compiled operators do not
load, and its import fails on the first two that it looks up. So they are declared here, without
code. torchmetrics, which Lightning imports, would fail on such a torchvision as well: `make test`
installs it into a folder of its own, which is looked into from here alone.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch

_library: torch.library.Library | None = None  # it undoes its declarations when it is collected


def declare_missing() -> None:
    """Find torchvision, and declare its operators unless its own load."""
    global _library
    folder = str(Path(sys.prefix, "torchvision"))  # see the Makefile
    if folder not in sys.path:
        sys.path.append(folder)
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
