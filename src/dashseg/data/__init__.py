"""Files on disk -> (image uint8 H×W×3 RGB, label uint8 H×W, name)."""

from dashseg.data.dataset import Dataset, FileDataset, Frame, Sample
from dashseg.data.mixture import open_training_set
from dashseg.data.sources import open_dataset

__all__ = ["Dataset", "FileDataset", "Frame", "Sample", "open_dataset", "open_training_set"]
