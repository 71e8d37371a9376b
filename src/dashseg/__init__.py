"""dashseg: semantic segmentation of what a dash camera sees.

Every verb of the command line is a function:

>>> import dashseg
>>> segment = dashseg.load("small")  # a run, a model directory, an exported file, …
>>> frames = dashseg.open_dataset("synthetic:10:1", split="val")
>>> image, label, name = frames[0]
>>> segment(image).label.shape == label.shape  # uint8 H×W class ids, at the frame's own size
True
"""

from __future__ import annotations

from dashseg.errors import InputError
from dashseg.verbs import Run, evaluate, load, open_dataset, push, resume, train

__all__ = ["InputError", "Run", "evaluate", "load", "open_dataset", "push", "resume", "train"]
__version__ = "0.1.0"
