"""dashseg: semantic segmentation of what a dash camera sees.

>>> import dashseg
>>> segment = dashseg.load("runs/demo")
>>> segment("frame.png").label  # uint8 H×W class ids, at the frame's own size
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashseg.errors import InputError

if TYPE_CHECKING:
    from dashseg.inference import Segmenter

__all__ = ["InputError", "load"]
__version__ = "0.1.0"


def load(
    model: str, *, device: str = "auto", tta: tuple[str, ...] = (), classes: str | None = None
) -> Segmenter:
    """Load a model, trained or exported; see `dashseg.inference.load`."""
    from dashseg.inference import load as load_segmenter  # brings in much: only when needed

    return load_segmenter(model, device=device, tta=tta, classes=classes)
