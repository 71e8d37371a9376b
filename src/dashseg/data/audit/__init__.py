"""A data set in, everything that is wrong with its files out; and a repaired copy."""

from dashseg.data.audit.check import Report, check
from dashseg.data.audit.problems import CODES, Problem
from dashseg.data.audit.repair import Repairs, refuse_taken, repair

__all__ = ["CODES", "Problem", "Repairs", "Report", "check", "refuse_taken", "repair"]
