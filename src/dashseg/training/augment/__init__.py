"""Random changes to a training batch: `Augment(recipe.augment, mean, classes)`."""

from dashseg.training.augment.pipeline import Augment

__all__ = ["Augment"]
