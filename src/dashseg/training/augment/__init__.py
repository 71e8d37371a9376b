"""Augmentation: random changes to a training batch, computed on the training device."""

from dashseg.training.augment.draws import Draws
from dashseg.training.augment.pipeline import Augment, Views

__all__ = ["Augment", "Draws", "Views"]
