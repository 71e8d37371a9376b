"""Image files come in as uint8 RGB whatever wrote them, and what is no such file is named."""

from __future__ import annotations

import io
import os
import socket
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from numpy.typing import NDArray

from dashseg.errors import InputError
from dashseg.images import (
    MAX_BYTES,
    MAX_PIXELS,
    DepthError,
    decode_pixels,
    encode_jpeg,
    encode_png,
    image_size,
    is_image_file,
    palette_indices,
    read_image,
    read_pixels,
    resize_image,
    resize_label,
    to_rgb,
)

Array = NDArray[np.uint8]
Capture = pytest.CaptureFixture[str]


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


@pytest.mark.parametrize("shape", [(60, 80), (60, 80, 3), (1, 1), (3, 5, 3)])
def test_flat_pictures_are_the_same_pixels_and_hardly_larger(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    image = np.zeros(shape, np.uint8)
    for _ in range(20):  # rectangles of one colour
        (top, bottom), (left, right) = (np.sort(rng.integers(0, side + 1, 2)) for side in shape[:2])
        image[top:bottom, left:right] = rng.integers(0, 256, shape[2:])
    flat = encode_png(image, flat=True)
    assert np.array_equal(np.array(PIL.Image.open(io.BytesIO(flat))), image)
    assert len(flat) <= 1.5 * len(encode_png(image)) + 100


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


@pytest.mark.parametrize("read", [read_pixels, image_size])
def test_an_empty_file_is_an_error(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "frame.png").touch()
    with pytest.raises(InputError, match=r"frame\.png: the file is empty"):
        read(tmp_path / "frame.png")


@pytest.mark.parametrize("read", [read_pixels, image_size])
def test_a_missing_file_is_an_error(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(InputError, match=r"gone\.png: cannot be read: No such file"):
        read(tmp_path / "gone.png")


@pytest.mark.parametrize("read", [read_pixels, image_size])
@pytest.mark.parametrize("size", [(30_000, 30_000), (1 << 21, 1)])
def test_too_many_pixels_are_an_error_before_they_are_decoded(
    tmp_path: Path, read: Callable[[Path], object], size: tuple[int, int]
) -> None:
    (tmp_path / "huge.png").write_bytes(png_of(*size))
    with pytest.raises(InputError, match=rf"huge\.png: {size[0]}×{size[1]} pixels; .*{MAX_PIXELS}"):
        read(tmp_path / "huge.png")


def test_too_many_pixels_are_an_error_in_other_formats_too(tmp_path: Path) -> None:
    info = struct.pack("<IiiHHIIiiII", 40, 30_000, 30_000, 1, 24, *[0] * 6)
    (tmp_path / "huge.bmp").write_bytes(struct.pack("<2sIHHI", b"BM", 0, 0, 0, 54) + info)
    with pytest.raises(InputError, match=r"huge\.bmp: .*900000000 pixels"):
        read_image(tmp_path / "huge.bmp")
    tags = ((256, 30_000), (257, 30_000), (259, 1), (262, 1), (273, 8))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = struct.pack("<4sIH", b"II*\0", 8, len(tags))
    (tmp_path / "huge.tif").write_bytes(head + entries + bytes(4))
    with pytest.raises(InputError, match=r"huge\.tif: 30000×30000 pixels"):
        read_image(tmp_path / "huge.tif")


@pytest.mark.parametrize("read", [read_pixels, image_size])
def test_a_file_of_too_many_bytes_is_an_error(
    tmp_path: Path, image: Array, read: Callable[[Path], object]
) -> None:
    path = tmp_path / "huge.jpg"
    path.write_bytes(encoded(image, "JPEG"))
    os.truncate(path, MAX_BYTES + 1)  # takes no room on the disk
    with pytest.raises(InputError, match=rf"huge\.jpg: {MAX_BYTES + 1} bytes; .*{MAX_BYTES}"):
        read(path)


def test_sixteen_bits_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    PIL.Image.fromarray(np.full((40, 56), 4000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(InputError, match=r"deep\.png: uint16 samples; .*Convert it first"):
        read_pixels(tmp_path / "deep.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_a_grey_frame_has_three_equal_channels(tmp_path: Path, image: Array, suffix: str) -> None:
    path = tmp_path / f"grey{suffix}"
    PIL.Image.fromarray(image[..., 0]).save(path)
    grey = np.array(PIL.Image.open(path).convert("RGB"))
    assert np.array_equal(grey[..., 0], grey[..., 2])
    assert np.array_equal(read_image(path), grey)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("channels", [3, 4, 1])
def test_an_image_is_turned_upright_as_exif_says(
    tmp_path: Path, image: Array, orientation: int, kind: str, channels: int
) -> None:
    if channels == 4 and kind in ("JPEG", "TIFF"):
        pytest.skip("has no alpha, or one that OpenCV multiplies into the colours")
    stored = image[..., 0] if channels == 1 else np.dstack([image, image[..., :1]])[..., :channels]
    exif = PIL.Image.Exif()
    exif[0x112] = orientation
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    path = tmp_path / "frame.img"
    PIL.Image.fromarray(stored).save(path, kind, exif=exif, **options)
    # Not from the path: Pillow maps grey TIFFs into memory, and then turns their sizes alone.
    upright = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(path.read_bytes())))
    rgb = np.array(upright.convert("RGB"))
    assert image_size(path) == rgb.shape[:2]
    assert np.array_equal(read_image(path), rgb)
    assert np.array_equal(to_rgb(PIL.Image.open(io.BytesIO(path.read_bytes()))), rgb)
    if (kind, channels) != ("WEBP", 1):  # which has no grey
        assert np.array_equal(read_pixels(path), np.array(upright))


def test_a_palette_png_is_turned_upright_with_its_indices(tmp_path: Path) -> None:
    indices = np.random.default_rng(0).integers(0, 5, (40, 56), np.uint8)
    stored = PIL.Image.fromarray(indices, "P")
    stored.putpalette(np.random.default_rng(1).integers(0, 256, 15, np.uint8).tobytes())
    exif = PIL.Image.Exif()
    exif[0x112] = 6
    stored.save(tmp_path / "mask.png", exif=exif)
    read, colours = palette_indices((tmp_path / "mask.png").read_bytes())
    assert np.array_equal(read, np.rot90(indices, -1))
    assert np.array_equal(colours[read], read_image(tmp_path / "mask.png"))


FILM = struct.pack(">I4s4sI", 16, b"ftyp", b"mp42", 0) + bytes(50_000)


@pytest.mark.parametrize("more", [b"\0", bytes(9_000), FILM], ids=["zero", "zeros", "film"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_what_follows_an_image_does_no_harm(
    tmp_path: Path, image: Array, kind: str, more: bytes
) -> None:
    """Motion photographs, and files that cameras pad."""
    data = encoded(image, kind)
    path = tmp_path / "frame.img"
    path.write_bytes(data + more)
    assert np.array_equal(read_image(path), decode_pixels(data, ""))
    path.write_bytes(data[: len(data) * 3 // 4] + bytes(9_000))
    with pytest.raises(InputError, match=r"frame\.img: "):
        read_image(path)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_cut_progressive_jpeg_is_truncated(tmp_path: Path, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 560, 3), np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(noise).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    (tmp_path / "frame.jpg").write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=r"frame\.jpg: the file is truncated"):
        read_image(tmp_path / "frame.jpg")


ODD_CHUNKS = {
    "gamma of two bytes": (b"gAMA", b"\0\0"),
    "gamma of zero": (b"gAMA", bytes(4)),
    "large text": (b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 100_000_000)),
    "damaged profile": (b"iCCP", b"x\0\0" + zlib.compress(b"abc")),
    "damaged EXIF": (b"eXIf", b"II*\0\xff\xff\xff\xff"),
    "unknown": (b"abCd", b"x"),
}


@pytest.mark.parametrize("chunk", ODD_CHUNKS.values(), ids=ODD_CHUNKS)
@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_a_chunk_that_no_pixel_depends_on_does_no_harm(
    tmp_path: Path, image: Array, chunk: tuple[bytes, bytes], mode: str, capfd: Capture
) -> None:
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).quantize(16).convert(mode).save(buffer, "PNG")
    kind, content = chunk
    data = buffer.getvalue()
    crc = struct.pack(">I", zlib.crc32(kind + content))
    path = tmp_path / "frame.png"
    path.write_bytes(data[:33] + struct.pack(">I", len(content)) + kind + content + crc + data[33:])
    assert image_size(path) == (40, 56)
    assert np.array_equal(read_image(path), np.array(PIL.Image.open(buffer).convert("RGB")))
    if mode == "P":
        indices, _ = palette_indices(path.read_bytes())
        assert np.array_equal(indices, np.array(PIL.Image.open(buffer)))
    assert capfd.readouterr() == ("", "")


def test_an_unknown_chunk_that_pixels_depend_on_is_an_error(tmp_path: Path, image: Array) -> None:
    data = encoded(image, "PNG")
    chunk = struct.pack(">I4sI", 0, b"ABCD", zlib.crc32(b"ABCD"))
    (tmp_path / "frame.png").write_bytes(data[:33] + chunk + data[33:])
    with pytest.raises(InputError, match=r"frame\.png: not an image that can be read"):
        read_image(tmp_path / "frame.png")


def test_transparency_of_a_palette_survives_other_chunks(tmp_path: Path, image: Array) -> None:
    stored = PIL.Image.fromarray(image).quantize(16)
    stored.save(tmp_path / "a.png", transparency=bytes([0, 9]), dpi=(72, 72))
    rgba = np.array(PIL.Image.open(tmp_path / "a.png").convert("RGBA"))
    assert np.array_equal(read_pixels(tmp_path / "a.png"), rgba)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_of_an_animation_the_first_picture_is_read(tmp_path: Path, kind: str) -> None:
    first, second = (PIL.Image.new("RGB", (56, 40), colour) for colour in ("red", "blue"))
    path = tmp_path / "frame.png"
    first.save(path, kind, save_all=True, append_images=[second], lossless=True)
    assert np.array_equal(read_image(path), np.array(first))


def test_a_cmyk_jpeg_has_colours_as_pillow_sees_them(tmp_path: Path) -> None:
    PIL.Image.new("CMYK", (56, 40), (200, 30, 10, 20)).save(tmp_path / "a.jpg")
    seen = np.array(PIL.Image.open(tmp_path / "a.jpg").convert("RGB")).astype(int)
    assert np.abs(read_image(tmp_path / "a.jpg") - seen).max() <= 2


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_an_image_may_be_one_pixel_wide_or_high(
    tmp_path: Path, size: tuple[int, int], kind: str
) -> None:
    PIL.Image.new("RGB", size[::-1], "red").save(tmp_path / "frame.img", kind)
    assert image_size(tmp_path / "frame.img") == size
    assert read_image(tmp_path / "frame.img").shape == (*size, 3)


@pytest.mark.parametrize("read", [read_pixels, read_image, image_size])
@pytest.mark.parametrize("make", ["pipe", "socket", "device"])
def test_a_pipe_socket_or_device_is_never_opened(
    tmp_path: Path, make: str, read: Callable[[Path], object]
) -> None:
    path = tmp_path / "frame.png"
    failures: list[str] = []

    def try_it() -> None:
        try:
            read(path)
        except InputError as error:
            failures.append(str(error))

    with socket.socket(socket.AF_UNIX) as endpoint:
        if make == "pipe":
            os.mkfifo(path)
        elif make == "socket":
            endpoint.bind(os.path.relpath(path))  # a socket's name may have 107 bytes
        else:
            path.symlink_to("/dev/zero")
        thread = threading.Thread(target=try_it, daemon=True)
        thread.start()
        thread.join(timeout=20)
    assert failures == [f"{path}: a pipe, socket or device, not a file"]


def test_a_folder_or_a_name_with_a_nul_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(InputError, match=r"a\.png: cannot be read: Is a directory"):
        read_image(tmp_path / "a.png")
    with pytest.raises(InputError, match="cannot be read: "):
        read_image(tmp_path / "a\0.png")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "HSV"])
def test_pil_images_of_eight_bits_are_read_in_any_mode(image: Array, mode: str) -> None:
    picture = PIL.Image.fromarray(image).quantize(16).convert("RGB").convert(mode)
    rgb = to_rgb(picture)
    assert np.array_equal(rgb, np.array(picture.convert("RGB")))
    assert rgb.flags.writeable
    assert rgb.flags.c_contiguous


def test_arrays_are_read_with_one_three_or_four_channels(image: Array) -> None:
    alpha = np.dstack([image, image[..., 0]])
    grey = np.repeat(image[..., :1], 3, -1)
    assert np.array_equal(to_rgb(alpha), image)
    assert np.array_equal(to_rgb(image[..., 0]), grey)
    assert np.array_equal(to_rgb(image[..., :1]), grey)
    assert np.array_equal(to_rgb(image[:, ::-1]), image[:, ::-1])
    copy = to_rgb(image)
    copy[:] = 0
    assert image.any()


DEEP = {
    "I;16": PIL.Image.fromarray(np.full((4, 5), 4000, np.uint16)),
    "I": PIL.Image.new("I", (5, 4), 70_000),
    "F": PIL.Image.new("F", (5, 4), 0.5),
    "uint16": np.zeros((4, 5, 3), np.uint16),
    "float32": np.zeros((4, 5, 3), np.float32),
    "bool": np.zeros((4, 5), bool),
}


@pytest.mark.parametrize("frame", DEEP.values(), ids=DEEP)
def test_deep_pil_images_and_arrays_are_refused_as_files_are(frame: object) -> None:
    with pytest.raises(DepthError, match=r"samples; dashseg reads 8 bits per channel\. Convert"):
        to_rgb(frame)


@pytest.mark.parametrize(
    "frame",
    [None, [[1]], np.zeros(5, np.uint8), np.zeros((4, 5, 2), np.uint8), np.zeros((0, 5), np.uint8)],
)
def test_what_is_no_frame_is_an_error(frame: object) -> None:
    with pytest.raises(InputError, match="a frame is"):
        to_rgb(frame)


def test_a_pil_image_of_a_damaged_file_is_an_error_that_names_it(
    tmp_path: Path, image: Array
) -> None:
    data = encoded(np.tile(image, (9, 9, 1)), "PNG")
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"a\.png: cannot be decoded"):
        to_rgb(PIL.Image.open(tmp_path / "a.png"))


def test_opencv_itself_prints_nothing(tmp_path: Path, image: Array, capfd: Capture) -> None:
    for kind in ("BMP", "TIFF", "WEBP", "PNG"):
        path = tmp_path / "frame.img"
        path.write_bytes(encoded(image, kind)[:-40])
        with pytest.raises(InputError):
            read_image(path)
    assert capfd.readouterr() == ("", "")


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
