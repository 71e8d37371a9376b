"""Choose which frames to label next: unsure ones, unlike those that are labelled."""

from dashseg.curate.select.candidates import Candidate, Pool
from dashseg.curate.select.choose import WAYS, Pick, choose

__all__ = ["WAYS", "Candidate", "Pick", "Pool", "choose"]
