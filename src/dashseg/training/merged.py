"""The loss of pixels that may be one of several classes: −ln of the sum of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dashseg.labels import IGNORE


class MergedLabels(nn.Module):
    """Which classes each label may be.

    Args:
        groups: of each merged label, the ids of its classes. The k-th has the id `classes` + k.
        classes: number of classes, C.
    """

    _excluded: Tensor

    def __init__(self, groups: Sequence[Sequence[int]], classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.groups = tuple(map(tuple, groups))
        excluded = torch.zeros(256, classes, dtype=torch.bool)
        for label, members in enumerate(self.groups, classes):
            excluded[label] = True
            excluded[label, list(members)] = False
        self.register_buffer("_excluded", excluded, persistent=False)

    def found(self, label: Tensor) -> Tensor:
        """bool, of the label's shape: where it is a merged label."""
        return (label >= self.classes) & (label != IGNORE)

    def without(self, label: Tensor) -> Tensor:
        """The label with 255 in place of merged labels."""
        return label.masked_fill(self.found(label), IGNORE)

    def may_be(self, label: Tensor, class_id: int) -> Tensor:
        """bool, of the label's shape: where it is a merged label that the class belongs to."""
        return self.found(label) & ~self._excluded[:, class_id][label]

    def excluded(self, label: Tensor) -> Tensor:
        """(n, H, W) -> bool (n, C, H, W): the classes that a merged label cannot be."""
        return self._excluded[label].permute(0, 3, 1, 2)

    def losses(self, full: Tensor, label: Tensor) -> Tensor:
        """−ln of the summed probability of a merged label's classes.

        Args:
            full: logits (n, C, H, W).
            label: int64 (n, H, W).

        Returns:
            (n, H, W); 0, without a gradient, where the label is a class or 255.
        """
        inside = full.masked_fill(self.excluded(label), -torch.inf).logsumexp(1)
        return full.logsumexp(1) - inside

    def weights(self, weights: Tensor) -> Tensor:
        """(C,) class weights -> (C + groups,): a merged label's is the smallest of its classes'.

        A merged pixel most likely is of its most frequent class, which has the smallest weight.
        """
        smallest = [weights[list(members)].min() for members in self.groups]
        return torch.cat([weights, torch.stack(smallest)])
