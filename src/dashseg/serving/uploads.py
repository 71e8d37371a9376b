"""A request's body -> one image: raw, or the field `file` of a form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import HTTPException, Request
from PIL.Image import DecompressionBombError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from dashseg.errors import InputError
from dashseg.image_header import JPEG_SIGNATURE, PNG_SIGNATURE, read_header
from dashseg.images import decode_pixels, to_rgb
from dashseg.labels import Image
from dashseg.serving.settings import Settings
from dashseg.serving.work import in_thread, share_of, unless_gone

KINDS = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff")
_SIGNATURES = (JPEG_SIGNATURE, PNG_SIGNATURE, b"BM", b"II*\0", b"MM\0*")
PER_PIXEL = 8  # bytes: the frame's three, its label, and an answer of up to four


async def read_image_upload(request: Request, settings: Settings) -> Image:
    """The image that a request carries: uint8 H×W×3 RGB, upright. Decoded in a thread.

    Raises:
        HTTPException: 413 too many bytes or pixels, 415 another kind of file, 422 no image or a
            damaged one.
    """
    data = await read_body(request, settings)
    pixels = check_image(data, settings.max_pixels)
    share_of(request).take(PER_PIXEL * pixels)
    return await unless_gone(request, in_thread(request, decode_image, data))


async def read_body(request: Request, settings: Settings) -> bytes:
    """The raw body, or the field `file` of a multipart form; the guard bounds its size."""
    if not is_form(request):
        return await request.body()
    async with read_file(request, settings.max_body) as file:
        return await file.read()


def is_form(request: Request) -> bool:
    """Whether the body is a multipart form."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


@asynccontextmanager
async def read_file(request: Request, in_memory: int) -> AsyncIterator[UploadFile]:
    """The field `file` of a multipart form.

    Args:
        in_memory: bytes; what a larger form holds goes to a file without a name.

    Raises:
        HTTPException: 422, not such a form.
    """
    parser = MultiPartParser(request.headers, request.stream(), max_files=1, max_fields=8)
    parser.spool_max_size = in_memory
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, LookupError) as error:
        raise HTTPException(422, f"not a form that can be read: {error}") from error
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise HTTPException(422, "the form has no file in a field called 'file'")
        yield file
    finally:
        await form.close()


def check_image(data: bytes, max_pixels: int) -> int:
    """Look at an image file's first bytes; returns how many pixels it has.

    Raises:
        HTTPException: as `read_image_upload`.
    """
    if not data:
        raise HTTPException(422, "the body is empty; send an image file")
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if not webp and not data.startswith(_SIGNATURES):
        raise HTTPException(415, "not a JPEG, PNG, WebP, BMP or TIFF file")
    try:
        header = read_header(data)
    except DecompressionBombError:
        raise HTTPException(413, f"too many pixels: {max_pixels} are allowed") from None
    if header is None:
        raise HTTPException(422, "the image is damaged or cut off")
    if header.height * header.width > max_pixels:
        size = f"{header.width}×{header.height} pixels"
        raise HTTPException(413, f"{size}: {max_pixels} pixels are allowed")
    return header.height * header.width


def decode_image(data: bytes) -> Image:
    """An image file's bytes -> uint8 H×W×3 RGB, upright.

    Raises:
        HTTPException: 422, damaged or not 8-bit.
    """
    try:
        return to_rgb(decode_pixels(data, "the image"))
    except InputError as error:
        raise HTTPException(422, str(error)) from error
