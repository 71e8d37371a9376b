from __future__ import annotations

import numpy as np
import pytest
import torch

from dashseg.config import LossConfig
from dashseg.errors import InputError
from dashseg.training.losses import (
    CrossEntropy,
    class_weights,
    count_pixels,
    enet_weights,
    median_frequency_weights,
)

# What the original published for comma10k: road, lane markings, undrivable, movable, my car.
PUBLISHED_ENET = np.array([3.23, 35.4, 3.03, 33.5, 3.96])


def _numpy_cross_entropy(logits, label, weights):
    """Per-pixel -log softmax of the labelled class, averaged by weight over labelled pixels."""
    total = weight_sum = 0.0
    for b, y, x in zip(*np.nonzero(label != 255), strict=True):
        scores = logits[b, :, y, x].astype(np.float64)
        probability = np.exp(scores - scores.max())
        probability /= probability.sum()
        weight = weights[label[b, y, x]]
        total -= weight * np.log(probability[label[b, y, x]])
        weight_sum += weight
    return total / weight_sum


@pytest.mark.parametrize("weights", [None, [1.0, 5.0, 0.25]])
def test_cross_entropy_is_numpys_with_ignored_pixels_left_out(weights):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (2, 3, 5, 7)).astype(np.float32)
    label = rng.integers(0, 3, (2, 5, 7))
    label[rng.random(label.shape) < 0.3] = 255
    ours = CrossEntropy(weights)(torch.from_numpy(logits), torch.from_numpy(label))
    assert float(ours) == pytest.approx(_numpy_cross_entropy(logits, label, weights or [1] * 3))


def test_a_batch_of_ignored_pixels_gives_zero_and_no_gradient():
    for weights in (None, [1.0, 2.0]):
        logits = torch.randn(1, 2, 4, 4, requires_grad=True)
        loss = CrossEntropy(weights)(logits, torch.full((1, 4, 4), 255))
        loss.backward()
        assert loss.item() == 0
        assert logits.grad is not None and not logits.grad.any()


def test_enet_weights_are_the_five_published_ones():
    shares = np.exp(1 / PUBLISHED_ENET) - 1.02  # what the pixels must have been
    assert shares.sum() == pytest.approx(1, abs=2e-3)  # they are shares of one whole
    counts = np.round(shares / shares.sum() * 1e9).astype(np.int64)
    assert enet_weights(counts) == pytest.approx(PUBLISHED_ENET, rel=5e-3)


def test_median_frequency_counts_only_frames_that_show_the_class():
    labels = [
        np.array([[0, 0, 1, 1]], np.uint8),  # class 2 is not in this frame
        np.array([[0, 0, 0, 2]], np.uint8),
        np.array([[0, 0, 255, 255]], np.uint8),
    ]
    counts, present = count_pixels(labels, 4)
    assert counts.tolist() == [7, 2, 1, 0]
    assert present.tolist() == [10, 4, 4, 0]
    # Frequencies 0.7, 0.5, 0.25: the median is 0.5.
    assert median_frequency_weights(counts, present) == pytest.approx([0.5 / 0.7, 1, 2, 0])


def test_given_weights_must_be_one_per_class():
    counts = np.array([1, 1, 1])
    assert class_weights(LossConfig(class_weights=(1.0, 2.0, 0.0)), counts, counts) == [1, 2, 0]
    with pytest.raises(InputError, match="2 numbers for 3 classes"):
        class_weights(LossConfig(class_weights=(1.0, 2.0)), counts, counts)
    with pytest.raises(InputError, match="0 or more"):
        class_weights(LossConfig(class_weights=(1.0, -2.0, 1.0)), counts, counts)
