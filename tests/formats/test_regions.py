"""A label's regions, drawn again, give the label."""

import cv2
import numpy as np
import pytest

from dashseg.formats.drawing import to_label
from dashseg.formats.regions import find_regions
from dashseg.formats.source import Shape, Shapes
from dashseg.labels import IGNORE


def noise(seed, size=(60, 80), classes=4):
    return np.random.default_rng(seed).integers(0, classes, size).astype(np.uint8)


def blobs(seed):
    small = cv2.resize(noise(seed, (12, 16)), (160, 120), interpolation=cv2.INTER_NEAREST)
    label = cv2.medianBlur(small, 9)
    label[20:50, 30:60] = IGNORE
    return label


def drawn(regions, size, with_holes=False):
    shapes = [
        Shape(min(region.class_id, 4), (region.ring,), region.holes if with_holes else ())
        for region in regions
    ]
    targets = np.array([0, 1, 2, 3, IGNORE], np.uint8)
    return to_label(Shapes(shapes, size), size, targets, background=99)


@pytest.mark.parametrize("label", [noise(0), noise(1, (1, 7)), noise(2, (9, 1)), blobs(3)])
@pytest.mark.parametrize("with_holes", [False, True])
def test_regions_drawn_in_order_give_the_label_again(label, with_holes):
    again = drawn(find_regions(label), label.shape, with_holes)
    np.testing.assert_array_equal(again, label)


@pytest.mark.parametrize("seed", range(3))
def test_areas_add_up_to_the_pixels_of_each_class(seed):
    label = noise(seed)
    for class_id in range(4):
        area = sum(region.area for region in find_regions(label) if region.class_id == class_id)
        assert area == (label == class_id).sum()


def test_a_simplified_outline_strays_no_further_than_the_tolerance():
    yy, xx = np.mgrid[:200, :200]
    disc = ((yy - 100) ** 2 + (xx - 100) ** 2 < 80**2).astype(np.uint8)
    exact = next(region for region in find_regions(disc) if region.class_id == 1)
    simple = next(region for region in find_regions(disc, 1.5) if region.class_id == 1)
    assert len(simple.ring) < len(exact.ring) / 5
    radius = np.hypot(*(simple.ring - 100).T)
    assert abs(radius - 80).max() < 2.5
    again = drawn(find_regions(disc, 1.5), disc.shape)
    both, either = ((disc == 1) & (again == 1)).sum(), ((disc == 1) | (again == 1)).sum()
    assert both / either > 0.97


def test_a_small_region_goes_to_what_surrounds_it():
    label = np.zeros((20, 20), np.uint8)
    label[5:7, 5:7] = 1
    label[10:14, 10:14] = 2
    again = drawn(find_regions(label, smallest=5), label.shape)
    assert not (again == 1).any() and (again == 2).sum() == 16 and (again == 0).sum() == 384
