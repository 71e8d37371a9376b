"""The pictures of an example."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dashseg.evaluation.pictures import difference, encode_pictures
from dashseg.images import decode_pixels, fitting_size
from dashseg.labels import COMMA10K


def test_difference_marks_wrong_pixels_blackens_ignored_ones_and_dims_the_rest() -> None:
    image = np.full((1, 4, 3), 200, np.uint8)
    label = np.array([[0, 1, 255, 2]], np.uint8)
    prediction = np.array([[0, 2, 0, 2]], np.uint8)
    picture = difference(image, label, prediction)
    assert picture[0].tolist() == [[100] * 3, [255, 64, 160], [0] * 3, [100] * 3]
    assert (image == 200).all()


@pytest.mark.parametrize(
    ("size", "expected"),
    [((874, 1164), (721, 960)), ((360, 480), (360, 480)), ((1208, 1928), (601, 960))],
)
def test_pictures_are_at_most_960_wide_and_keep_their_proportions(size: Any, expected: Any) -> None:
    assert fitting_size(*size) == expected


def test_scaled_labels_hold_only_the_palettes_colours() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (700, 1164, 3), np.uint8)
    label, prediction = rng.integers(0, 5, (2, 700, 1164), np.uint8)
    label[:50] = 255
    pictures = encode_pictures(image, label, prediction, COMMA10K)
    assert set(pictures) == {"frame.jpg", "label.png", "prediction.png", "difference.jpg"}
    palette = {*COMMA10K.colours, (0, 0, 0)}
    for name, data in pictures.items():
        pixels = decode_pixels(data, name)
        assert pixels.shape == (577, 960, 3)
        if name.endswith(".png"):
            assert {tuple(colour) for colour in np.unique(pixels.reshape(-1, 3), axis=0)} <= palette
