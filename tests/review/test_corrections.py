"""Proposed masks differ from the drawn ones inside the regions only, and can be read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from dashseg.data.camvid import CAMVID11, CAMVID_IN_COMMA10K
from dashseg.errors import InputError
from dashseg.labels import COMMA10K, IGNORE, Classes, read_mask
from dashseg.review.corrections import proposed_label, write_proposal
from dashseg.review.regions import Box, Found, Region


def test_regions_are_painted_as_seen_and_nothing_else_changes() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 5, (20, 30), np.uint8)
    label[0] = IGNORE
    numbers = np.zeros_like(label)
    numbers[3:8, 4:9], numbers[10:12, 20:30], numbers[15:18, :5] = 1, 2, 3
    box, before = Box(0, 0, 1, 1), label.copy()
    regions = (Region(1, 0, 3, 25, box, 0.9, 0.0), Region(2, 2, 1, 20, box, 0.9, 0.0))
    proposed = proposed_label(label, Found(regions, numbers))
    assert (proposed[3:8, 4:9] == 3).all() and (proposed[10:12, 20:30] == 1).all()
    untouched = (numbers == 0) | (numbers == 3)  # the third is not among the regions
    assert np.array_equal(proposed[untouched], label[untouched])
    assert np.array_equal(label, before)


FOLDER = Classes(("a", "b"), ((10, 20, 30), (200, 0, 0)), aliases={(255, 255, 255): IGNORE})


@pytest.mark.parametrize("classes", [CAMVID_IN_COMMA10K, CAMVID11, FOLDER])
def test_a_proposal_reads_back_as_it_was_ignored_pixels_and_all(
    classes: Any, tmp_path: Path
) -> None:
    label = np.random.default_rng(1).integers(0, len(classes), (12, 17), np.uint8)
    label[3:6, 2:9] = IGNORE
    write_proposal(tmp_path / "mask.png", label, classes)
    assert np.array_equal(read_mask(tmp_path / "mask.png", classes), label)


def test_its_colours_are_exactly_the_palette_s(tmp_path: Path) -> None:
    label = np.arange(5, dtype=np.uint8).repeat(6).reshape(5, 6)
    write_proposal(tmp_path / "mask.png", label, COMMA10K)
    picture = PIL.Image.open(tmp_path / "mask.png")
    assert picture.mode == "RGB"
    assert np.array_equal(np.asarray(picture), np.array(COMMA10K.colours, np.uint8)[label])


def test_ignored_pixels_without_a_colour_for_them_are_an_error_that_names_the_file(
    tmp_path: Path,
) -> None:
    label = np.full((4, 4), IGNORE, np.uint8)
    with pytest.raises(InputError, match=r"mask\.png.*no colour"):
        write_proposal(tmp_path / "mask.png", label, COMMA10K)
