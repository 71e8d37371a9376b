"""Confusion matrix, IoU and pixel accuracy, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from dashseg.evaluation import ConfusionMatrix, iou_per_class, mean_iou, pixel_accuracy

CLASSES = 5


def random_pair(
    labels: tuple[int, ...] = (0, 1, 2, 3, 4), shape: tuple[int, ...] = (40, 53)
) -> tuple[torch.Tensor, torch.Tensor]:
    """A prediction of all classes and a uint8 label of `labels`, a tenth of it to be ignored."""
    rng = np.random.default_rng(3)
    label = rng.choice(np.array(labels, np.uint8), shape)
    label[rng.random(shape) < 0.1] = 255
    return torch.from_numpy(rng.integers(0, CLASSES, shape)), torch.from_numpy(label)


def counted(prediction: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    confusion = ConfusionMatrix(CLASSES)
    confusion.update(prediction, label)
    return confusion.compute()


def scored(prediction: torch.Tensor, label: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted ids of the pixels that count, as scikit-learn takes them."""
    keep = label != 255
    return label[keep].numpy(), prediction[keep].numpy()


def test_rows_are_labels_and_columns_predictions() -> None:
    pair = random_pair()
    expected = confusion_matrix(*scored(*pair), labels=range(CLASSES))
    np.testing.assert_array_equal(counted(*pair), expected)


def test_logits_of_a_batch_count_as_their_largest() -> None:
    _, label = random_pair(shape=(2, 6, 7))
    logits = torch.randn(2, CLASSES, 6, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(counted(logits, label), counted(logits.argmax(1), label))


def test_updates_add_up() -> None:
    prediction, label = random_pair()
    confusion = ConfusionMatrix(CLASSES)
    for rows in (slice(0, 11), slice(11, 40)):
        confusion.update(prediction[rows], label[rows])
    assert torch.equal(confusion.compute(), counted(prediction, label))


def test_uint8_labels_of_many_classes_do_not_overflow() -> None:
    confusion = ConfusionMatrix(60)
    confusion.update(torch.tensor([[59]]), torch.tensor([[59]], dtype=torch.uint8))
    assert confusion.compute()[59, 59] == 1


def test_a_label_that_is_no_class_is_an_error() -> None:
    with pytest.raises(RuntimeError):
        counted(torch.tensor([[0, 1]]), torch.tensor([[0, CLASSES + 2]]))


def test_iou_and_accuracy_are_those_of_scikit_learn() -> None:
    pair = random_pair()
    confusion = counted(*pair)
    np.testing.assert_allclose(
        np.array(iou_per_class(confusion), float), jaccard_score(*scored(*pair), average=None)
    )
    assert mean_iou(confusion) == pytest.approx(jaccard_score(*scored(*pair), average="macro"))
    assert pixel_accuracy(confusion) == pytest.approx(accuracy_score(*scored(*pair)))


def test_a_class_absent_from_the_labels_has_no_iou_even_where_predicted() -> None:
    present = (0, 2, 3)
    pair = random_pair(present)
    ious = iou_per_class(counted(*pair))
    assert [ious[1], ious[4]] == [None, None]
    expected = jaccard_score(*scored(*pair), labels=present, average=None)
    np.testing.assert_allclose(np.array([ious[i] for i in present], float), expected)
    assert mean_iou(counted(*pair)) == pytest.approx(expected.mean())


def test_a_class_that_is_always_missed_has_iou_zero() -> None:
    confusion = np.array([[5, 0], [3, 0]])
    assert iou_per_class(confusion) == [5 / 8, 0.0]


def test_without_a_labelled_pixel_there_are_no_numbers() -> None:
    confusion = np.zeros((2, 2), np.int64)
    assert iou_per_class(confusion) == [None, None]
    assert mean_iou(confusion) is None
    assert pixel_accuracy(confusion) is None
