"""Random changes to a training batch, all of them computed on the device that trains."""

from dashseg.training.augment.draws import Draws
from dashseg.training.augment.pipeline import Augment

__all__ = ["Augment", "Draws"]
