"""Models + labelled frames -> the labels most likely wrong, worst first."""

from dashseg.review.apply import apply_review
from dashseg.review.output import check_out, write_review
from dashseg.review.suspects import Part, Suspect

__all__ = ["Part", "Suspect", "apply_review", "check_out", "write_review"]
