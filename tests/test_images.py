"""Image files come in as uint8 RGB whatever wrote them, and what is no such file is named."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from dashseg.errors import InputError
from dashseg.images import (
    encode_jpeg,
    encode_png,
    image_size,
    is_image_file,
    read_image,
    read_pixels,
    resize_image,
    resize_label,
)

Array = NDArray[np.uint8]


@pytest.fixture
def image() -> Array:
    """Smooth enough for JPEG, and no two channels alike."""
    y, x = np.mgrid[:40, :56]
    return np.stack([4 * x, 6 * y, 255 - 2 * x - 2 * y], -1).astype(np.uint8)


def encoded(image: Array, kind: str) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG that promises a size and has no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_a_frame_is_read_as_rgb(tmp_path: Path, image: Array, suffix: str) -> None:
    path = tmp_path / f"frame{suffix}"
    PIL.Image.fromarray(image).save(path, lossless=True)
    read = read_image(path)
    assert read.dtype == np.uint8
    assert np.array_equal(read, image)
    assert image_size(path) == (40, 56)


def test_a_jpeg_is_read_as_rgb(tmp_path: Path, image: Array) -> None:
    path = tmp_path / "frame.JPG"
    PIL.Image.fromarray(image).save(path, "JPEG", quality=95)
    assert np.abs(read_image(path).astype(int) - image).mean() < 2  # a swap of channels makes it 60


def test_alpha_is_dropped_from_a_frame(tmp_path: Path, image: Array) -> None:
    alpha = np.full((40, 56, 1), 7, np.uint8)
    PIL.Image.fromarray(np.concatenate([image, alpha], -1)).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), image)
    assert read_pixels(tmp_path / "a.png").shape == (40, 56, 4)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_png_is_read_as_its_colours(tmp_path: Path, bits: int) -> None:
    indices = np.random.default_rng(0).integers(0, 1 << bits, (40, 56), np.uint8)
    palette = np.random.default_rng(1).integers(0, 256, (1 << bits, 3), np.uint8)
    stored = PIL.Image.fromarray(indices, "P")
    stored.putpalette(palette.tobytes())
    stored.save(tmp_path / "a.png", bits=bits)
    assert (tmp_path / "a.png").read_bytes()[24] == bits  # bit depth in the file's header
    assert np.array_equal(read_image(tmp_path / "a.png"), palette[indices])


def test_encoded_pictures_are_read_by_pillow(image: Array) -> None:
    png = PIL.Image.open(io.BytesIO(encode_png(image)))
    jpeg = PIL.Image.open(io.BytesIO(encode_jpeg(image, quality=95)))
    assert (png.format, png.mode) == ("PNG", "RGB")
    assert (jpeg.format, jpeg.mode) == ("JPEG", "RGB")
    assert np.array_equal(np.array(png), image)
    assert np.abs(np.array(jpeg).astype(int) - image).mean() < 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
def test_a_truncated_file_is_an_error_that_names_it(
    tmp_path: Path, image: Array, kind: str, share: float
) -> None:
    data = encoded(np.random.default_rng(0).integers(0, 256, image.shape, np.uint8), kind)
    path = tmp_path / "frame.img"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError) as error:
        read_pixels(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_cut_png_or_jpeg_is_said_to_be_truncated(tmp_path: Path, image: Array, kind: str) -> None:
    data = encoded(image, kind)
    (tmp_path / "frame.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"frame\.png: the file is truncated; fetch or export"):
        read_image(tmp_path / "frame.png")


def test_a_png_with_a_flipped_bit_is_an_error(tmp_path: Path, image: Array) -> None:
    data = bytearray(encoded(image, "PNG"))
    data[len(data) // 2] ^= 1
    (tmp_path / "frame.png").write_bytes(data)
    with pytest.raises(InputError, match=r"frame\.png: not an image that can be read"):
        read_image(tmp_path / "frame.png")


@pytest.mark.parametrize("read", [read_pixels, image_size])
def test_a_text_file_called_png_is_an_error(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "frame.png").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError, match=r"frame\.png: not an image that can be read"):
        read(tmp_path / "frame.png")


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "frame.png").touch()
    with pytest.raises(InputError, match=r"frame\.png: the file is empty"):
        read_image(tmp_path / "frame.png")
    with pytest.raises(InputError, match=r"frame\.png: not an image"):
        image_size(tmp_path / "frame.png")


@pytest.mark.parametrize("read", [read_pixels, image_size])
def test_a_missing_file_is_an_error(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(InputError, match=r"gone\.png: cannot be read: No such file"):
        read(tmp_path / "gone.png")


@pytest.mark.parametrize("read", [read_pixels, image_size])
def test_a_picture_too_large_to_open_is_an_error(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    (tmp_path / "huge.png").write_bytes(png_of(40_000, 40_000))
    with pytest.raises(InputError, match=r"huge\.png: not an image that can be read"):
        read(tmp_path / "huge.png")


def test_sixteen_bits_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    PIL.Image.fromarray(np.full((40, 56), 4000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(InputError, match=r"deep\.png: uint16 samples; .*Convert it first"):
        read_pixels(tmp_path / "deep.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_grey_frame_is_an_error(tmp_path: Path, image: Array, suffix: str) -> None:
    path = tmp_path / f"grey{suffix}"
    PIL.Image.fromarray(image[..., 0]).save(path)
    with pytest.raises(InputError, match=r"grey\.\w+: a grey image \(1 channel\); frames must be"):
        read_image(path)


def test_image_files_are_known_by_their_names() -> None:
    names = ("a.png", "b.JPG", "c.txt", "._a.png", ".DS_Store", "png")
    assert [name for name in names if is_image_file(Path(name))] == ["a.png", "b.JPG"]


@pytest.mark.parametrize("size", [(20, 28), (17, 23), (80, 112), (63, 41), (40, 56)])
def test_a_label_takes_the_id_at_the_nearest_pixel_centre(size: tuple[int, int]) -> None:
    label = np.random.default_rng(0).integers(0, 256, (40, 56), np.uint8)
    rows, columns = (
        np.floor((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, label.shape, strict=True)
    )
    assert np.array_equal(resize_label(label, size), label[np.ix_(rows, columns)])


def test_a_frame_shrinks_by_area_average() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    blocks = image.reshape(10, 4, 14, 4, 3).mean((1, 3))
    assert np.abs(resize_image(image, (10, 14)) - blocks).max() <= 0.5


def test_a_frame_grows_bilinearly() -> None:
    row = np.array([[[0] * 3, [100] * 3, [200] * 3]], np.uint8)
    grown = resize_image(row, (1, 6))[0, :, 0]
    assert grown.tolist() == [0, 25, 75, 125, 175, 200]  # half-pixel centres, edges repeated
