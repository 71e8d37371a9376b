from __future__ import annotations

import numpy as np
import pytest
import torch

from dashseg.config import LossConfig
from dashseg.data.class_balance import ClassPixels
from dashseg.errors import InputError
from dashseg.training.losses import CrossEntropy, class_weights


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


def test_given_weights_must_be_one_per_class():
    pixels = ClassPixels(3)
    assert class_weights(LossConfig(class_weights=(1.0, 2.0, 0.0)), pixels) == [1, 2, 0]
    with pytest.raises(InputError, match="2 numbers for 3 classes"):
        class_weights(LossConfig(class_weights=(1.0, 2.0)), pixels)
    with pytest.raises(InputError, match="0 or more"):
        class_weights(LossConfig(class_weights=(1.0, -2.0, 1.0)), pixels)
