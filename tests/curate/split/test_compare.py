"""What is told of a split: counted here by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dashseg.curate.split import compare


def name(device: int, day: int, segment: int, frame: int) -> str:
    return f"0000_{device:016x}_2018-07-{day:02}--10-11-12_{segment}_{frame}"


TRAIN = [name(1, 1, 1, 1), name(1, 1, 1, 2), name(2, 5, 3, 1), "odd"]
VAL = [
    name(1, 1, 1, 9),  # a segment of training
    name(1, 1, 2, 9),  # another segment of a route of training
    name(1, 2, 1, 9),  # the device alone; "1" is no segment by itself
    name(3, 1, 1, 9),  # nothing: the same day, on another device
    "odd_too",
]


def test_shared_segments_routes_and_devices_are_counted() -> None:
    names = [*TRAIN, *VAL, "left"]
    found = compare(names, np.ones((10, 2), int), ("a", "b"), set(TRAIN), set(VAL))
    assert found.shared == {"segment": 1, "route": 2, "device": 3}
    assert (found.train, found.val, found.left_out) == (4, 5, 1)
    assert (found.unparsed, found.unparsed_train) == (1, 1)
    assert found.examples == ("odd", "odd_too")


def test_class_shares_are_of_each_sides_pixels_and_their_distance_is_total_variation() -> None:
    names = ["a", "b", "c"]
    pixels = np.array([[1, 1, 2], [3, 3, 0], [5, 0, 5]])
    found = compare(names, pixels, ("x", "y", "z"), {"a", "b"}, {"c"})
    assert found.train_shares == pytest.approx([0.4, 0.4, 0.2])
    assert found.val_shares == pytest.approx([0.5, 0.0, 0.5])
    assert found.distance == pytest.approx(0.4)
    values = found.to_dict()
    assert values["classes"][1] == {"name": "y", "train_share": 0.4, "val_share": 0.0}


def test_a_side_without_labels_has_no_shares() -> None:
    found = compare(["a", "b"], np.array([[1, 1], [0, 0]]), ("x", "y"), {"a"}, {"b"})
    assert found.val_shares is None and found.distance is None
    assert found.to_dict()["classes"][0] == {"name": "x", "train_share": 0.5, "val_share": None}
