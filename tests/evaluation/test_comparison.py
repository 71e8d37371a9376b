"""A comparison counts pixels and classes as they are, and refuses with the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dashseg.config import InputConfig
from dashseg.data import Sample
from dashseg.errors import InputError
from dashseg.evaluation.comparison import TOLERANCES, Comparison, Tolerance, compare
from dashseg.inference import Segmenter
from dashseg.inference.calibration import Frames
from dashseg.labels import Classes

CLASSES = Classes(("dark", "bright"), ((0, 0, 0), (255, 255, 255)))
RULE = InputConfig(size=None)


@dataclass(frozen=True)
class Threshold:
    """A network that calls a pixel bright above a level of red."""

    level: float
    name: str = "torch"
    size: None = None

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        red = frames[..., 0].astype(np.float32)
        return np.stack([np.full_like(red, self.level), red], 1)  # (B, 2, h, w)


@dataclass(frozen=True)
class Data:
    images: list[NDArray[np.uint8]]
    labels: list[NDArray[np.uint8]]
    classes: Classes = CLASSES
    root: str = "data"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.images[index], self.labels[index], str(index))


def segmenter(level: float) -> Segmenter:
    network: Any = Threshold(level)
    return Segmenter(network, RULE, CLASSES, f"above {level}")


def columns(levels: list[int]) -> NDArray[np.uint8]:
    """A frame of 32 rows, 8 columns for each level of grey."""
    row = np.repeat(np.array(levels, np.uint8), 8)
    return np.repeat(np.broadcast_to(row, (32, len(row)))[..., None], 3, 2).copy()


FRAME = columns([10, 100, 120, 200])  # dark, and bright for 90 but not for 110, and bright


def test_agreement_and_difference_are_counted_over_all_pixels() -> None:
    frames = Frames(lambda index: [FRAME, columns([10, 10, 200, 200])][index], 2)
    comparison = compare(segmenter(90), segmenter(110), frames)
    assert comparison.label_agreement == pytest.approx(7 / 8)  # a quarter of one of two frames
    assert comparison.largest_logit_difference == pytest.approx(20)
    assert (comparison.frames, comparison.miou_reference, comparison.miou_loss) == (2, None, None)


def test_labels_give_the_miou_before_and_after() -> None:
    truth = (FRAME[..., 0] > 90).astype(np.uint8)
    truth[:, :2] = 255  # of no account
    data: Any = Data([FRAME], [truth])
    comparison = compare(segmenter(90), segmenter(110), data)
    assert comparison.miou_reference == pytest.approx(1)
    dark, bright = 6 / 14, 16 / 24  # columns right, of those that are or are said to be
    assert comparison.miou_candidate == pytest.approx((dark + bright) / 2)
    assert comparison.iou_candidate == {
        "dark": pytest.approx(dark), "bright": pytest.approx(bright)
    }  # fmt: skip
    assert comparison.miou_loss == pytest.approx(1 - (dark + bright) / 2)


def test_both_see_the_frame_at_the_candidates_size() -> None:
    rule = InputConfig(size=(48, 40), resize="squash")
    network: Any = Threshold(90)
    candidate = Segmenter(network, rule, CLASSES, "squashing")
    comparison = compare(segmenter(90), candidate, Frames(lambda _: FRAME, 1))
    assert (comparison.label_agreement, comparison.largest_logit_difference) == (1, 0)


def test_data_of_other_classes_is_an_error() -> None:
    other = Classes(("red", "blue"), ((255, 0, 0), (0, 0, 255)))
    data: Any = Data([FRAME], [np.zeros(FRAME.shape[:2], np.uint8)], other)
    with pytest.raises(InputError, match=r"data has the classes red, blue; .* has dark, bright"):
        compare(segmenter(90), segmenter(90), data)


@pytest.mark.parametrize(
    ("comparison", "says"),
    [
        (Comparison(3, 0.5, 0.9, None, None), r"labels agree on 90.00% of pixels; at least 95.00%"),
        (
            Comparison(3, 0.5, 0.99, 0.8, 0.7),
            r"mIoU falls from 0.8000 to 0.7000; it may fall by 0.05 at",
        ),
        (Comparison(3, float("nan"), 0.99, None, None), r"its logits are not finite"),
    ],
)
def test_below_tolerance_it_is_refused_with_the_figures(comparison: Comparison, says: str) -> None:
    with pytest.raises(InputError, match=rf"refused, nothing was written: .*{says}.*3 frames"):
        comparison.check(Tolerance(0.95, 0.05))


@pytest.mark.parametrize("precision", TOLERANCES)
def test_within_tolerance_it_passes(precision: str) -> None:
    Comparison(3, 0.5, 1.0, 0.8, 0.81).check(TOLERANCES[precision])
