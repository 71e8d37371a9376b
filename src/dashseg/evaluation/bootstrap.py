"""Per-frame sums -> 95 % intervals of the data set's cross-entropy and mIoU, in constant memory.

The Poisson bootstrap (Chamandy, Muralidharan, Najmi, Naidu: "Estimating uncertainty for massive
data streams", Google 2012): instead of drawing n frames with replacement, each frame draws from
Poisson(1) how often it is in each resample. So frames need not be kept.
"""

from __future__ import annotations

import numpy as np

from dashseg.evaluation.metrics import Counts, Floats, iou
from dashseg.evaluation.scoring import LossSum

Interval = tuple[float, float]
_SIDES = (2.5, 97.5)  # percentiles of the resamples: a 95 % interval


class Bootstrap:
    """Resamples of frames. Memory: `resamples` × (2 + 3 × classes) numbers, however many frames.

    Frames count as independent. Neighbours in a drive are not, so the intervals are too narrow
    rather than too wide.
    """

    def __init__(self, num_classes: int, resamples: int, seed: int) -> None:
        self._seed = seed
        self._classes = num_classes
        self._frames = 0
        # Per resample: loss, pixels, then hits, label pixels and predicted pixels of each class.
        self._sums: Floats = np.zeros((resamples, 2 + 3 * num_classes))

    def update(self, index: int, loss: LossSum, confusion: Counts) -> None:
        """Add the frame at `index` of the data set; its weights depend on seed and index alone."""
        weights = np.random.default_rng((self._seed, index)).poisson(1.0, len(self._sums))
        hits, labelled, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
        self._sums += np.outer(
            weights, np.concatenate([(loss.total, loss.pixels), hits, labelled, predicted])
        )
        self._frames += 1

    def cross_entropy(self) -> Interval | None:
        """Interval of the native cross-entropy; None with fewer than two frames."""
        sums = self._drawn()
        return self._interval(sums[:, 0] / sums[:, 1])

    def mean_iou(self) -> Interval | None:
        """Interval of the mIoU, each resample's over its own classes; None as above."""
        return self._interval(self.mean_ious())

    def mean_ious(self) -> Floats:
        """The mIoU of each resample that drew any pixel.

        With one seed, models measured on the same frames have the same resamples: paired values.
        """
        hits, labelled, predicted = np.split(self._drawn()[:, 2:], 3, axis=1)  # (resamples, C) each
        return np.nanmean(iou(hits, labelled, predicted), axis=1)

    def _drawn(self) -> Floats:
        """The resamples that drew any pixel; with a handful of frames some do not."""
        return self._sums[self._sums[:, 1] > 0]

    def _interval(self, values: Floats) -> Interval | None:
        if self._frames < 2 or not len(values):
            return None
        low, high = np.percentile(values, _SIDES)
        return float(low), float(high)
