"""Find what is wrong with the files of a data set, and write a repaired copy."""

from dashseg.curate.check.check import Report, check
from dashseg.curate.check.problems import CODES, Problem
from dashseg.curate.check.repair import Repairs, refuse_taken, repair

__all__ = ["CODES", "Problem", "Repairs", "Report", "check", "refuse_taken", "repair"]
