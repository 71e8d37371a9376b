"""Image files <-> uint8 arrays in RGB order, and resizing of images and labels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from dashseg.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

Array = NDArray[np.uint8]


class DepthError(InputError):
    """The image's samples are not 8-bit."""


def is_image_file(path: Path) -> bool:
    """Whether the suffix is an image's. False for hidden files, such as macOS's `._x.png`."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def read_pixels(path: Path) -> Array:
    """Decode an 8-bit image file with its own channels.

    Returns:
        uint8 H×W (grey), H×W×3 RGB or H×W×4 RGBA. A palette PNG gives the palette's colours.

    Raises:
        InputError: the file is missing, unreadable, truncated or not an image.
        DepthError: the samples are 16-bit or float.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return decode_pixels(data, str(path))


def decode_pixels(data: Array, source: str) -> Array:
    """As `read_pixels`, from a file's bytes (uint8, 1-D); `source` names them in errors."""
    if data.size == 0:
        raise InputError(f"{source}: the file is empty")
    _check_whole(data, source)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise InputError(f"{source}: not an image that can be read (damaged, or another format)")
    if pixels.dtype != np.uint8:
        raise DepthError(
            f"{source}: {pixels.dtype} samples; dashseg reads 8 bits per channel. Convert it first"
        )
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 2:
        return pixels
    order = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    return cv2.cvtColor(pixels, order, dst=pixels)


def read_image(path: Path) -> Array:
    """Read a frame as uint8 H×W×3 RGB, without its alpha channel.

    Raises:
        InputError: as `read_pixels`, or the image is grey: models expect colour.
    """
    pixels = read_pixels(path)
    if pixels.ndim == 2:
        raise InputError(f"{path}: a grey image (1 channel); frames must be 8-bit RGB")
    return np.ascontiguousarray(pixels[..., :3])


def image_size(path: Path) -> tuple[int, int]:
    """(H, W) from the file's header, without decoding pixels.

    Raises:
        InputError: the file is missing, unreadable or not an image.
    """
    try:
        with PIL.Image.open(path) as header:
            return header.height, header.width
    except (PIL.UnidentifiedImageError, PIL.Image.DecompressionBombError) as error:
        raise InputError(
            f"{path}: not an image that can be read (damaged, or another format)"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def encode_png(image: Array, compression: int = 3) -> bytes:
    """uint8 H×W×3 RGB or H×W grey -> the bytes of an 8-bit PNG."""
    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, compression])
    if not ok:
        raise ValueError(f"cannot encode an array of {image.dtype} {image.shape} as PNG")
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


def resize_label(label: Array, size: tuple[int, int]) -> Array:
    """Resize a uint8 H×W label to (H, W): each new pixel has the id at its nearest pixel centre."""
    height, width = size
    if label.shape == size:
        return label
    return cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _check_whole(data: Array, source: str) -> None:
    """Raise InputError if a PNG or JPEG has no end: OpenCV silently fills the rest with grey."""
    head, tail = data[:8].tobytes(), data[-32:].tobytes()
    cut = (head.startswith(_PNG_SIGNATURE) and b"IEND" not in tail) or (
        head.startswith(b"\xff\xd8\xff") and b"\xff\xd9" not in data[-4096:].tobytes()
    )
    if cut:
        raise InputError(f"{source}: the file is truncated; fetch or export it again")
