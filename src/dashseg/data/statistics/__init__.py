"""A data set -> what its labels, frames and names hold: a table, JSON, a page with pictures."""

from dashseg.data.statistics.collect import collect, collect_class_pixels
from dashseg.data.statistics.page import write_page
from dashseg.data.statistics.summary import Statistics

__all__ = ["Statistics", "collect", "collect_class_pixels", "write_page"]
