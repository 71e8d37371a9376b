"""A request's body -> one image: raw, or the field `file` of a form."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from fastapi import HTTPException, Request
from PIL.Image import DecompressionBombError
from starlette.datastructures import UploadFile

from dashseg.errors import InputError
from dashseg.image_header import read_header
from dashseg.images import decode_pixels, to_rgb
from dashseg.labels import Image
from dashseg.serving.settings import Settings

KINDS = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*")


async def read_image_upload(request: Request, settings: Settings) -> Image:
    """The image that a request carries: uint8 H×W×3 RGB, upright. Decoded in a thread.

    Raises:
        HTTPException: 413 too many bytes or pixels, 415 another kind of file, 422 no image or a
            damaged one.
    """
    data = await read_body(request)
    check_image(data, settings.max_pixels)
    workers: Executor = request.app.state.workers
    return await asyncio.get_running_loop().run_in_executor(workers, decode_image, data)


async def read_body(request: Request) -> bytes:
    """The raw body, or the field `file` of a multipart form; the guard bounds its size."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await request.body()
    async with request.form(max_files=1, max_fields=8) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise HTTPException(422, "the form has no file in a field called 'file'")
        return await file.read()


def check_image(data: bytes, max_pixels: int) -> None:
    """Look at an image file's first bytes.

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


def decode_image(data: bytes) -> Image:
    """An image file's bytes -> uint8 H×W×3 RGB, upright.

    Raises:
        HTTPException: 422, damaged or not 8-bit.
    """
    with _as_422():
        return to_rgb(decode_pixels(data, "the image"))


@contextmanager
def _as_422() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise HTTPException(422, str(error)) from error
