"""Two versions of a label set: which frames were added, are gone, or changed, and how.

A page shows old and new of the frames that changed most.
"""

from dashseg.curate.diff.compare import Change, Difference, compare_labels
from dashseg.curate.diff.page import write_page

__all__ = ["Change", "Difference", "compare_labels", "write_page"]
