"""Shapes -> a label."""

import numpy as np
import pytest

from dashseg.errors import InputError
from dashseg.formats.drawing import ellipse, fill, rectangle, to_label
from dashseg.formats.source import UNLABELLED, Raster, Shape, Shapes

TARGETS = np.array([0, 1, 255], np.uint8)


def draw(*shapes, size=(10, 12), ranks=None, background=7):
    return to_label(Shapes(shapes, size), size, TARGETS, background, ranks)


def box(index, *corners, z=0.0):
    return Shape(index, (rectangle(*corners),), z=z)


def test_a_box_along_pixel_edges_covers_exactly_its_pixels():
    label = draw(box(1, 2, 3, 6, 8))
    expected = np.full((10, 12), 7)
    expected[3:8, 2:6] = 1
    np.testing.assert_array_equal(label, expected)


def test_a_later_shape_covers_an_earlier_one_and_z_comes_first():
    assert draw(box(0, 0, 0, 9, 9), box(1, 0, 0, 4, 4))[0, 0] == 1
    assert draw(box(1, 0, 0, 4, 4, z=1), box(0, 0, 0, 9, 9))[0, 0] == 1


def test_the_classes_order_comes_before_z_where_it_is_given():
    shapes = box(1, 0, 0, 4, 4), box(0, 0, 0, 9, 9, z=5)
    assert draw(*shapes)[0, 0] == 0
    assert draw(*shapes, ranks=[0, 1, -1])[0, 0] == 1


def test_holes_show_what_is_below():
    shape = Shape(1, (rectangle(0, 0, 10, 10),), (rectangle(2, 2, 5, 5),))
    assert (draw(shape)[2:5, 2:5] == 7).all()


def test_a_shape_of_an_ignored_class_hides_what_is_below():
    assert draw(box(0, 0, 0, 9, 9), box(2, 1, 1, 3, 3))[1, 1] == 255


def test_a_shape_over_the_edge_is_cut_and_one_outside_is_an_error():
    assert (draw(box(1, -3, -3, 2, 2)) == 1).sum() == 4
    with pytest.raises(InputError, match=r"polygon from 20, 20 to 30, 30 lies outside .* 12×10"):
        draw(box(1, 20, 20, 30, 30))


def test_a_mask_is_placed_where_it_belongs_and_must_fit():
    mask = np.eye(3, dtype=bool)
    label = draw(Shape(1, mask=mask, at=(4, 5)))
    assert (np.argwhere(label == 1) == [[4, 5], [5, 6], [6, 7]]).all()
    with pytest.raises(InputError, match="does not fit"):
        draw(Shape(1, mask=mask, at=(8, 5)))


def test_a_raster_maps_its_classes_and_leaves_the_rest_to_the_background():
    pixels = np.array([[0, 1, 2, UNLABELLED]], np.uint16)
    assert to_label(Raster(pixels), (1, 4), TARGETS, 7).tolist() == [[0, 1, 255, 7]]


@pytest.mark.parametrize("content", [Raster(np.zeros((3, 4), np.uint16)), Shapes([], (3, 4))])
def test_a_label_of_another_size_is_an_error_that_gives_both(content):
    with pytest.raises(InputError, match="for 4×3 pixels; the image has 12×10"):
        to_label(content, (10, 12), TARGETS)


def test_degenerate_polygons_are_errors():
    with pytest.raises(InputError, match="2 points"):
        fill([np.zeros((2, 2))], (5, 5))
    with pytest.raises(InputError, match="not a number"):
        fill([np.array([[0, 0], [1, np.nan], [2, 2]])], (5, 5))


def test_an_ellipse_has_the_area_of_an_ellipse():
    covered = fill([ellipse(50, 40, 30, 20, degrees=30)], (80, 100)).sum()
    assert covered == pytest.approx(np.pi * 30 * 20, rel=0.01)
