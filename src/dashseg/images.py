"""Image files <-> uint8 arrays in RGB order, and resizing of images and labels.

Every image that dashseg reads comes through here, so that all verbs accept and refuse the same
files. OpenCV decodes; `dashseg.image_header` finds the size and the orientation before that.
"""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

from dashseg import files
from dashseg.errors import InputError
from dashseg.image_header import (
    JPEG_SIGNATURE,
    PNG_SIGNATURE,
    Header,
    is_needed,
    png_chunks,
    read_header,
)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MAX_PIXELS = 178_956_970  # half a GiB as RGB, twenty times a 4K frame; Pillow's limit as well
MAX_SIDE = 65_500  # what a JPEG can have, and overlays are JPEGs
MAX_BYTES = 1 << 30  # of a file: MAX_PIXELS with alpha, uncompressed, is 0.7 GB

_WIDEST = 960  # pixels: sharp on a laptop, and 16 examples stay within some 4 MB
_FIRST_BYTES = 1 << 16  # hold most headers: JPEG's EXIF data are shorter
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # EXIF orientation -> cv2.flip's code
_NOT_AN_IMAGE = "not an image that can be read (damaged, or another format)"
_TRUNCATED = "the file is truncated; fetch or export it again"
_A_FRAME = "a frame is a path, a PIL image or a uint8 H×W×3 RGB or H×W grey array, not"
_TOO_DEEP = "samples; dashseg reads 8 bits per channel. Convert it first"
_JPEG_END = b"\xff\xd9"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"

Array = NDArray[np.uint8]

if "OPENCV_LOG_LEVEL" not in os.environ:
    # Its warnings about damaged files name no file; the InputErrors below do.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class DepthError(InputError):
    """The image's samples are not 8-bit."""


def is_image_file(path: Path) -> bool:
    """Whether the suffix is an image's. False for hidden files, such as macOS's `._x.png`."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def image_files(folder: Path, unreadable: list[str] | None = None) -> list[Path]:
    """Every image at any depth, sorted; hidden files and folders are left out.

    Raises:
        InputError: as `dashseg.files.files_below`, which `unreadable` is for.
    """
    return list(filter(is_image_file, visible_files(folder, unreadable)))


def visible_files(folder: Path, unreadable: list[str] | None = None) -> list[Path]:
    """As `image_files`, files of every kind."""
    return [
        path
        for path in files.files_below(folder, unreadable)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def read_image(path: Path) -> Array:
    """Read a frame as uint8 H×W×3 RGB, upright.

    An alpha channel is dropped; a grey image gets three equal channels.

    Raises:
        InputError: as `read_pixels`.
    """
    return _three_channels(read_pixels(path))


def decode_image(data: bytes, source: str) -> Array:
    """As `read_image`, from a file's bytes; `source` names them in errors."""
    return _three_channels(decode_pixels(data, source))


def read_pixels(path: Path) -> Array:
    """Decode an 8-bit image file with its own channels, turned upright as its EXIF data say.

    Returns:
        uint8 H×W (grey), H×W×3 RGB or H×W×4 RGBA. A palette PNG gives the palette's colours.

    Raises:
        InputError: the file is missing, not a regular file, too large, truncated, damaged or not
            an image.
        DepthError: the samples are 16-bit or float.
    """
    return decode_pixels(read_bytes(path), str(path))


def decode_pixels(data: bytes, source: str) -> Array:
    """As `read_pixels`, from a file's bytes; `source` names them in errors."""
    pixels = decode_any_depth(data, source)
    if pixels.dtype != np.uint8:
        raise DepthError(f"{source}: {pixels.dtype} {_TOO_DEEP}")
    return pixels


def decode_any_depth(data: bytes, source: str) -> NDArray[Any]:
    """As `decode_pixels`, but 16-bit and float samples are no error: the array has their type."""
    header = _header(data, source)
    if not _is_whole(data, header.body):
        raise InputError(f"{source}: {_TRUNCATED}")
    try:
        encoded = np.frombuffer(_decodable(data, header), np.uint8)
        pixels = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise InputError(f"{source}: {_NOT_AN_IMAGE}")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 3:
        order = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        pixels = cv2.cvtColor(pixels, order, dst=pixels)
    return _turn_upright(pixels, header.orientation)


def image_size(path: Path) -> tuple[int, int]:
    """(H, W) of the upright image, from the file's header, without decoding pixels.

    Raises:
        InputError: as `read_pixels`, but for damage that only decoding finds.
    """
    return _header(read_bytes(path, _FIRST_BYTES), str(path), path).upright


def to_rgb(frame: object) -> Array:
    """Copy a PIL image or an array to uint8 H×W×3 RGB, by the same rules as a file.

    Args:
        frame: any 8-bit PIL image, turned upright if it carries an EXIF orientation, or a uint8
            array: H×W or H×W×1 grey, H×W×3 RGB or H×W×4 RGBA.

    Raises:
        InputError: something else, too large, or a PIL image whose file cannot be decoded.
        DepthError: the samples are 16-bit or float.
    """
    if isinstance(frame, PIL.Image.Image):
        source = str(getattr(frame, "filename", "")) or "a PIL image"
        _check_size(frame.height, frame.width, source)
        if frame.mode.startswith(("I", "F")):
            raise DepthError(f"{source}: mode {frame.mode}: {_TOO_DEEP}")
        try:
            return np.array(PIL.ImageOps.exif_transpose(frame).convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise InputError(f"{source}: cannot be decoded: {error}") from error
    if not isinstance(frame, np.ndarray):
        raise InputError(f"{_A_FRAME} {type(frame).__name__}")
    if frame.ndim not in (2, 3) or frame.shape[2:] not in ((), (1,), (3,), (4,)) or not frame.size:
        raise InputError(f"{_A_FRAME} {frame.dtype} {frame.shape}")
    if frame.dtype != np.uint8:
        raise DepthError(f"{_A_FRAME} {frame.dtype} {frame.shape}: {_TOO_DEEP}")
    _check_size(frame.shape[0], frame.shape[1], "an array")
    pixels = np.array(frame, order="C")  # the caller may read the next frame into the same array
    return _three_channels(pixels[..., 0] if frame.shape[2:] == (1,) else pixels)


def read_bytes(path: Path, first: int = -1) -> bytes:
    """The bytes of an image file of at most `MAX_BYTES`; see `files.read_bytes`."""
    return files.read_bytes(path, MAX_BYTES, first)


def palette_indices(data: bytes) -> tuple[Array, Array]:
    """The bytes of a palette PNG that can be decoded -> uint8 indices H×W, upright; colours n×3."""
    header = _header(data, "a palette PNG")
    with PIL.Image.open(io.BytesIO(_decodable(data, header))) as file:
        colours = np.array(file.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return _turn_upright(np.asarray(file), header.orientation), colours


def encode_png(image: Array, compression: int = 3, *, flat: bool = False) -> bytes:
    """uint8 H×W×3 RGB or H×W grey -> the bytes of an 8-bit PNG.

    Args:
        compression: 0 (none) to 9 (smallest).
        flat: the image has large areas of one value, as labels and masks have. Trying all row
            filters on those takes three times as long and makes the file no smaller.
    """
    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return encode_bgr_png(pixels, compression, flat)


def encode_bgr_png(pixels: Array, compression: int = 3, flat: bool = False) -> bytes:
    """As `encode_png`, of uint8 H×W×3 BGR or H×W grey."""
    settings = [cv2.IMWRITE_PNG_COMPRESSION, compression]
    if flat:
        settings += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
        settings += [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_FILTERED]
    ok, data = cv2.imencode(".png", pixels, settings)
    if not ok:
        raise ValueError(f"cannot encode an array of {pixels.dtype} {pixels.shape} as PNG")
    return data.tobytes()


def encode_jpeg(image: Array, quality: int = 90) -> bytes:
    """uint8 H×W×3 RGB -> the bytes of a JPEG."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError(f"cannot encode an array of {image.dtype} {image.shape} as JPEG")
    return data.tobytes()


def resize_image(image: Array, size: tuple[int, int]) -> Array:
    """Resize a uint8 H×W×3 frame to (H, W): area average to shrink, bilinear to enlarge."""
    height, width = size
    if image.shape[:2] == size:
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    return cv2.resize(
        image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )


def fitting_size(height: int, width: int) -> tuple[int, int]:
    """(H, W) of a picture for a page: at most 960 wide, in the same proportions."""
    scale = min(1.0, _WIDEST / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize_label(label: Array, size: tuple[int, int]) -> Array:
    """Resize a uint8 H×W label to (H, W): each new pixel has the id at its nearest pixel centre."""
    height, width = size
    if label.shape == size:
        return label
    return cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def _header(data: bytes, source: str, path: Path | None = None) -> Header:
    """Of a file's bytes; with `path`, of its first bytes, which may not be enough."""
    if not data:
        raise InputError(f"{source}: the file is empty")
    try:
        header = read_header(data)
        if header is None and path and len(data) == _FIRST_BYTES:
            data = read_bytes(path)
            header = read_header(data)
    except PIL.Image.DecompressionBombError as error:
        raise InputError(f"{source}: {error}") from error
    if header is None or 0 in header.upright:
        reason = _NOT_AN_IMAGE if _is_whole(data, 2) else _TRUNCATED
        raise InputError(f"{source}: {reason}")
    _check_size(header.height, header.width, source)
    return header


def _check_size(height: int, width: int, source: str) -> None:
    if height * width > MAX_PIXELS or max(height, width) > MAX_SIDE:
        raise InputError(
            f"{source}: {width}×{height} pixels; images may have {MAX_PIXELS} pixels,"
            f" and {MAX_SIDE} a side"
        )


def _is_whole(data: bytes, body: int) -> bool:
    """Whether the pixels that start at `body` end: OpenCV silently fills what is cut with grey.

    Other data may follow: a motion photograph's film, a second picture, zeros.
    """
    if data.startswith(PNG_SIGNATURE) and not data.endswith(_PNG_END):
        try:
            *_, (_, _, end) = png_chunks(data, max(body, len(PNG_SIGNATURE)))
        except struct.error:
            return False
        return end <= len(data)
    if data.startswith(JPEG_SIGNATURE) and not data.endswith(_JPEG_END):
        return data.find(_JPEG_END, body) >= 0  # among the pixels every 0xff is followed by a 0
    return True


def _decodable(data: bytes, header: Header) -> bytes:
    """A PNG without those chunks before its pixels that decoders need not look at.

    Wrong gamma and colour profiles and large texts make Pillow refuse a file, and libpng complain.
    """
    if not header.extra:
        return data
    head = data[: header.body] + _PNG_END
    kept = b"".join(head[start:end] for kind, start, end in png_chunks(head) if is_needed(kind))
    return PNG_SIGNATURE + kept.removesuffix(_PNG_END) + data[header.body :]


def _turn_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn pixels (H×W or H×W×C) that are stored in an EXIF orientation from 1 to 8."""
    if orientation > 4:
        pixels = cv2.transpose(pixels)
    return cv2.flip(pixels, _FLIPS[orientation]) if orientation in _FLIPS else pixels


def _three_channels(pixels: Array) -> Array:
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    # Ten times as fast as copying a slice.
    return pixels if pixels.shape[2] == 3 else cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)
