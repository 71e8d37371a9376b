"""A label laid over a picture in YUV looks as it does in RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dashseg.inference.video.overlay import FORMAT, colours_in_yuv, lay_over
from dashseg.labels import COMMA10K

av = pytest.importorskip("av")

BT601, BT709, LIMITED, FULL = 5, 1, 1, 2  # as FFmpeg numbers matrices and ranges
WEIGHTS = {BT601: (0.299, 0.114), BT709: (0.2126, 0.0722)}  # of red and blue: ITU-R
PALETTE = np.array(  # comma10k's five colours
    [[0x40, 0x20, 0x20], [0xFF, 0, 0], [0x80, 0x80, 0x60], [0, 0xFF, 0x66], [0xCC, 0, 0xFF]]
)


def yuv(rgb: NDArray[Any], matrix: int, levels: int) -> NDArray[np.float64]:
    """(n, 3) in 0-255 -> (3, n), by the recommendations' formulas."""
    red, green, blue = rgb.T / 255
    of_red, of_blue = WEIGHTS[matrix]
    y = of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
    u, v = (blue - y) / (2 - 2 * of_blue), (red - y) / (2 - 2 * of_red)
    if levels == FULL:
        return np.stack([255 * y, 128 + 255 * u, 128 + 255 * v]).clip(0, 255)
    return np.stack([16 + 219 * y, 128 + 224 * u, 128 + 224 * v])


@pytest.mark.parametrize("levels", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", [BT601, BT709])
def test_classes_have_the_colours_of_the_palette(matrix: int, levels: int) -> None:
    tables = colours_in_yuv(COMMA10K, matrix, levels)
    assert tables.shape == (3, 256) and tables.dtype == np.uint8
    assert np.abs(tables[:, :5] - yuv(PALETTE, matrix, levels)).max() <= 1.5


@pytest.mark.parametrize("size", [(36, 64), (34, 94)])  # 94: a line is longer than the picture
def test_each_plane_is_half_the_picture_and_half_the_colour(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    rows = size[0] * 3 // 2
    values = rng.integers(16, 236, (rows, size[1]), np.uint8)
    picture = av.VideoFrame.from_ndarray(values, format=FORMAT)
    picture.colorspace, picture.color_range = BT709, LIMITED
    label = rng.integers(0, 5, size, np.uint8)
    out = lay_over(picture, label, COMMA10K)
    assert (out.format.name, out.colorspace, out.color_range) == (FORMAT, BT709, LIMITED)
    y, u, v = yuv(PALETTE[label.reshape(-1)], BT709, LIMITED).reshape(3, *size)
    u, v = (part.reshape(size[0] // 2, 2, size[1] // 2, 2).mean((1, 3)) for part in (u, v))
    colours = np.concatenate([part.reshape(-1) for part in (y, u, v)])
    expected = (values.reshape(-1) + colours) / 2
    assert np.abs(out.to_ndarray().reshape(-1) - expected).max() <= 1.5
    assert np.array_equal(picture.to_ndarray(), values)  # it is left as it was
