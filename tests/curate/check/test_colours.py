"""An antialiased edge gets one of the two classes that meet, a painted region gets none."""

from __future__ import annotations

import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest
from numpy.typing import NDArray

from dashseg.curate.check.colours import describe_strays, snap
from dashseg.labels import COMMA10K, UNKNOWN, Classes, look_up, stored_values

COLOURS = np.array(COMMA10K.colours, np.uint8)


def snapped(
    mask: NDArray[np.uint8], classes: Classes = COMMA10K
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Ids of the snapped mask, and where a colour is its own."""
    unknown = look_up(mask, classes) == UNKNOWN
    codes, own = snap(stored_values(mask, classes).astype(np.uint32), unknown, classes)
    rgb = np.stack((codes >> 16, codes >> 8 & 255, codes & 255), -1).astype(np.uint8)
    return look_up(np.ascontiguousarray(rgb), classes), own


def halves(a: int, b: int) -> NDArray[np.uint8]:
    label = np.full((40, 60), a, np.uint8)
    label[:, 30:] = b
    return label


@pytest.mark.parametrize(("a", "b"), [(a, b) for a in range(5) for b in range(a)])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_an_edge_between_any_two_classes_comes_back(a: int, b: int, sigma: float) -> None:
    blurred = PIL.Image.fromarray(COLOURS[halves(a, b)]).filter(PIL.ImageFilter.GaussianBlur(sigma))
    label, own = snapped(np.array(blurred))
    assert not own.any()
    assert set(np.unique(label)) == {a, b}  # no third class, whatever lies between their colours
    assert np.array_equal(label, halves(a, b))


def test_a_mix_goes_to_the_colour_that_it_holds_most_of() -> None:
    mask = COLOURS[halves(0, 2)]
    road, undrivable = COLOURS[0].astype(float), COLOURS[2].astype(float)
    mask[5, 29] = (0.6 * road + 0.4 * undrivable).round()
    mask[9, 29] = (0.4 * road + 0.6 * undrivable).round()
    label, own = snapped(mask)
    assert (label[5, 29], label[9, 29], bool(own.any())) == (0, 2, False)


def test_where_three_classes_meet_the_mix_of_three_is_one_of_them() -> None:
    label = halves(0, 2)
    label[20:] = 3
    blurred = PIL.Image.fromarray(COLOURS[label]).filter(PIL.ImageFilter.GaussianBlur(1))
    back, own = snapped(np.array(blurred))
    assert not own.any()
    assert (back != label).sum() <= 4


def test_a_line_too_thin_to_stay_pure_is_known_by_its_pure_part() -> None:
    label = np.zeros((60, 60), np.uint8)
    label[:, 20] = 1
    label[30:, 18:24] = 1
    blurred = PIL.Image.fromarray(COLOURS[label]).filter(PIL.ImageFilter.GaussianBlur(0.6))
    back, own = snapped(np.array(blurred))
    assert not own.any()
    assert (back == label).mean() > 0.99


@pytest.mark.parametrize("colour", [(0x12, 0x34, 0x56), (0xA0, 0x10, 0x10), (0x60, 0x50, 0x40)])
def test_a_painted_region_is_its_own_also_in_a_mixed_colour(colour: tuple[int, int, int]) -> None:
    mask = COLOURS[halves(0, 2)].copy()
    mask[10:16, 26:34] = colour
    label, own = snapped(mask)
    assert np.array_equal(own, (mask == colour).all(-1))
    assert np.array_equal(label[~own], halves(0, 2)[~own])


def test_a_mix_of_classes_that_are_not_there_is_its_own() -> None:
    mask = COLOURS[halves(0, 2)].copy()
    mask[3, 29] = (COLOURS[3].astype(int) + COLOURS[4]) // 2
    _, own = snapped(mask)
    assert own.sum() == 1 and own[3, 29]


def test_a_colour_that_counts_as_another_class_keeps_its_own_colour() -> None:
    """CamVid paints 32 colours for 5 classes: a snapped pixel is one of the two that meet."""
    van, tree = (64, 128, 192), (128, 128, 0)
    classes = Classes(COMMA10K.names, COMMA10K.colours, aliases={van: 3, tree: 2})
    mask = np.array([van, tree], np.uint8)[halves(0, 1)]
    blurred = np.array(PIL.Image.fromarray(mask).filter(PIL.ImageFilter.GaussianBlur(0.7)))
    unknown = look_up(blurred, classes) == UNKNOWN
    after, own = snap(stored_values(blurred, classes).astype(np.uint32), unknown, classes)
    assert not own.any()
    assert np.array_equal(after, np.array([0x4080C0, 0x808000])[halves(0, 1)])


def test_strays_are_counted_exactly() -> None:
    mask = COLOURS[halves(0, 2)].copy()
    mask[10:16, 5:9] = 0x12, 0x34, 0x56
    mask[0, 0] = 1, 2, 3
    strays = describe_strays(mask, look_up(mask, COMMA10K), COMMA10K)
    assert strays == ("own", 0, 25, 2, (("#123456", 24), ("#010203", 1)))


def test_unknown_ids_are_always_their_own() -> None:
    classes = Classes(("a", "b"), ((0, 0, 0), (9, 9, 9)), stored_as="id")
    values = np.repeat(np.arange(4, dtype=np.uint8), 10).reshape(4, 10)
    label = look_up(values, classes)
    assert describe_strays(values, label, classes) == ("own", 0, 20, 2, (("2", 10), ("3", 10)))
