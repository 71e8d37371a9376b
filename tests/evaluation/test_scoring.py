"""The three cross-entropies, against a plain NumPy computation in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dashseg.evaluation.scoring import (
    LossSum,
    _confusion,
    score_frame,
    score_on_device,
)

CLASSES = 5
FRAME = 530, 22  # more rows than two strips of 256, and a ragged third
WORKING = 31, 47


def bilinear(logits: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float64]:
    """Resize (C, h, w) with pixels as areas: np.interp along rows, then along columns."""

    def matrix(old: int, new: int) -> NDArray[np.float64]:
        centres = (np.arange(new) + 0.5) * old / new - 0.5
        return np.stack([np.interp(centres, np.arange(old), unit) for unit in np.eye(old)], axis=1)

    rows, columns = matrix(logits.shape[1], size[0]), matrix(logits.shape[2], size[1])
    return np.einsum("Hh,chw,Ww->cHW", rows, logits.astype(np.float64), columns)


def loss_of(logits: NDArray[np.float64], label: NDArray[np.uint8]) -> tuple[float, int]:
    """Sum of −ln softmax at the labelled class, and the number of pixels, one at a time."""
    total, pixels = 0.0, 0
    for y, x in np.argwhere(label != 255):
        scores = logits[:, y, x]
        total += np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[label[y, x]]
        pixels += 1
    return total, pixels


def nearest(label: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    rows = ((np.arange(size[0]) + 0.5) * label.shape[0] / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * label.shape[1] / size[1]).astype(int)
    return label[np.ix_(rows, columns)]


@pytest.fixture
def logits() -> NDArray[np.float32]:
    values = np.random.default_rng(0).normal(scale=4, size=(CLASSES, *WORKING))
    return values.astype(np.float32)


@pytest.fixture
def label() -> NDArray[np.uint8]:
    rng = np.random.default_rng(1)
    label = rng.integers(0, CLASSES, FRAME, np.uint8)
    label[rng.random(FRAME) < 0.2] = 255
    return label


def test_native_loss_is_over_labelled_pixels_at_the_frames_own_size(
    logits: NDArray[np.float32], label: NDArray[np.uint8]
) -> None:
    score = score_frame(torch.from_numpy(logits), label)
    total, pixels = loss_of(bilinear(logits, FRAME), label)
    assert score.native.total == pytest.approx(total, rel=1e-6)
    assert score.native.pixels == pixels
    assert score.native.mean == pytest.approx(total / pixels, rel=1e-6)


def test_padded_loss_spreads_the_native_sum_over_the_padded_area(
    logits: NDArray[np.float32], label: NDArray[np.uint8]
) -> None:
    padded = score_frame(torch.from_numpy(logits), label).padded
    assert padded is not None
    total, _ = loss_of(bilinear(logits, FRAME), label)
    assert padded.mean == pytest.approx(total / (896 * 1184), rel=1e-6)


@pytest.mark.parametrize("size", [(897, 8), (8, 1185)])
def test_a_frame_larger_than_the_padded_area_has_no_padded_loss(
    logits: NDArray[np.float32], size: Any
) -> None:
    assert score_frame(torch.from_numpy(logits), np.zeros(size, np.uint8)).padded is None


def test_square_loss_squashes_the_label_by_nearest_and_the_logits_from_working_size(
    logits: NDArray[np.float32], label: NDArray[np.uint8]
) -> None:
    square = score_frame(torch.from_numpy(logits), label).square
    total, pixels = loss_of(bilinear(logits, (256, 256)), nearest(label, (256, 256)))
    assert square.pixels == pixels
    assert square.total == pytest.approx(total, rel=1e-6)


def test_a_model_that_works_at_256_is_scored_on_its_own_logits(label: NDArray[np.uint8]) -> None:
    own = np.random.default_rng(2).normal(scale=4, size=(CLASSES, 256, 256)).astype(np.float32)
    square = score_frame(torch.from_numpy(own), label).square
    total, _ = loss_of(own.astype(np.float64), nearest(label, (256, 256)))
    assert square.total == pytest.approx(total, rel=1e-6)


def test_large_logits_do_not_overflow(label: NDArray[np.uint8]) -> None:
    huge = torch.zeros(CLASSES, *WORKING)
    huge[2] = 1e4
    expected = np.where(label == 2, 0, 1e4)[label != 255].mean()
    assert score_frame(huge, label).native.mean == pytest.approx(expected, rel=1e-6)


def test_prediction_is_the_largest_upsampled_logit_and_confusion_counts_it(
    logits: NDArray[np.float32], label: NDArray[np.uint8]
) -> None:
    score = score_frame(torch.from_numpy(logits), label)
    np.testing.assert_array_equal(score.prediction, bilinear(logits, FRAME).argmax(0))
    assert score.prediction.dtype == np.uint8
    for row in range(CLASSES):
        expected = np.bincount(score.prediction[label == row], minlength=CLASSES)
        np.testing.assert_array_equal(score.confusion[row], expected)


def test_a_frame_without_labelled_pixels_has_sums_of_nothing(logits: NDArray[np.float32]) -> None:
    score = score_frame(torch.from_numpy(logits), np.full(FRAME, 255, np.uint8))
    assert score.native == score.padded == score.square == LossSum(0.0, 0)
    assert score.native.mean is None
    assert score.confusion.sum() == 0


def test_an_id_that_is_no_class_is_an_error(
    logits: NDArray[np.float32], label: NDArray[np.uint8]
) -> None:
    label[3, 4] = CLASSES
    with pytest.raises(ValueError, match="neither one of 5 classes nor 255"):
        score_frame(torch.from_numpy(logits), label)


def test_a_gpus_way_of_scoring_gives_the_same(
    logits: NDArray[np.float32], label: NDArray[np.uint8]
) -> None:
    """Its tensors are on the CPU here."""
    score, tensor = score_frame(torch.from_numpy(logits), label), torch.from_numpy(logits)
    squashed = nearest(label, (256, 256))
    native, square, confusion, prediction = score_on_device(tensor, label, squashed)
    for found, expected in ((native, score.native), (square, score.square)):
        assert found.pixels == expected.pixels
        assert found.total == pytest.approx(expected.total, rel=1e-6)
    np.testing.assert_array_equal(prediction, score.prediction)
    np.testing.assert_array_equal(confusion, score.confusion)


def test_counts_beyond_what_float32_holds_are_exact() -> None:
    label = np.zeros((5, 1 << 22), np.uint8)  # 20 million pixels, 2²⁴ is 17
    label[:, -1] = 1
    confusion = _confusion(label, label, 2)
    np.testing.assert_array_equal(confusion, [[label.size - 5, 0], [0, 5]])
