"""How a file is stored is read from its bytes, and undone only where nothing has to be guessed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from dashseg.curate.check.picture import fits_suffix, plain_image, plain_mask, read_picture
from dashseg.labels import COMMA10K, Classes

RGB = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8)
IDS = Classes(("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)), stored_as="id")


@pytest.mark.parametrize(
    ("mode", "bits", "grey", "palette", "alpha"),
    [
        ("RGB", 8, False, False, False),
        ("RGBA", 8, False, False, True),
        ("L", 8, True, False, False),
        ("LA", 8, True, False, True),
        ("P", 8, False, True, False),
        ("1", 1, True, False, False),
        ("I;16", 16, True, False, False),
    ],
)
def test_bits_and_channels_are_those_that_were_written(
    tmp_path: Path, mode: str, bits: int, grey: bool, palette: bool, alpha: bool
) -> None:
    path = tmp_path / "a.png"
    picture = PIL.Image.fromarray(RGB)
    if mode == "I;16":
        picture = PIL.Image.fromarray(RGB[..., 0].astype(np.uint16))
    picture.convert(mode).save(path)
    read = read_picture(path)
    assert (read.format, read.bits, read.grey, read.palette) == ("PNG", bits, grey, palette)
    assert (read.alpha() is not None) == alpha


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF", "WebP"])
def test_a_name_is_held_against_the_content(tmp_path: Path, format: str) -> None:
    path = tmp_path / "a.png"
    PIL.Image.fromarray(RGB).save(path, format=format)
    read = read_picture(path)
    assert read.format == format
    assert fits_suffix(read, path) == (format == "PNG")
    assert fits_suffix(read, path.with_suffix(f".{format.lower()}"))


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_become_8_only_where_nothing_is_lost(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "a.png"
    deep = RGB[..., :channels].astype(np.uint16) * 257
    cv2.imwrite(str(path), deep[..., ::-1])
    plain = plain_image(read_picture(path))
    assert plain is not None
    assert np.array_equal(plain, np.broadcast_to(RGB[..., :channels], RGB.shape))
    deep[0, 0, 0] ^= 1
    cv2.imwrite(str(path), deep[..., ::-1])
    assert plain_image(read_picture(path)) is None


def test_a_grey_mask_is_no_colour_mask_but_may_hold_ids(tmp_path: Path) -> None:
    ids = RGB[..., 0] % 3
    PIL.Image.fromarray(ids).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert plain_mask(picture, COMMA10K) is None
    plain = plain_mask(picture, IDS)
    assert plain is not None and np.array_equal(plain, ids)


def test_a_palette_of_greys_other_than_its_indices_has_two_readings(tmp_path: Path) -> None:
    ids = RGB[..., 0] % 3
    for greys, read in (((0, 1, 2), ids), ((0, 2, 1), None)):
        picture = PIL.Image.fromarray(ids)
        picture.putpalette(np.repeat(np.array(greys, np.uint8), 3).tobytes())
        picture.save(tmp_path / "a.png")
        plain = plain_mask(read_picture(tmp_path / "a.png"), IDS)
        if read is None:
            assert plain is None
        else:
            assert plain is not None and np.array_equal(plain, read)
