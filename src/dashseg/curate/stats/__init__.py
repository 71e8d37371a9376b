"""Statistics of a data set's labels, frames and names: a table, JSON, a page with pictures."""

from dashseg.curate.stats.collect import collect, collect_class_pixels
from dashseg.curate.stats.page import write_page
from dashseg.curate.stats.summary import Statistics

__all__ = ["Statistics", "collect", "collect_class_pixels", "write_page"]
