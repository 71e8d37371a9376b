"""Frames -> which of them are held out, and how much those have in common with the others."""

from dashseg.curate.split.choose import LEVELS, choose
from dashseg.curate.split.compare import Comparison, compare

__all__ = ["LEVELS", "Comparison", "choose", "compare"]
