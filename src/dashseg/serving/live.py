"""The webcam's frames over a WebSocket: a JPEG in, the PNG of its class ids out."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from starlette.exceptions import HTTPException

from dashseg.errors import InputError
from dashseg.serving.answers import label_png
from dashseg.serving.batching import Batcher, Full
from dashseg.serving.segment import choose
from dashseg.serving.uploads import PER_PIXEL, check_image, decode_image
from dashseg.serving.work import in_thread, share_of

MAX_FRAME = 4_000_000  # bytes; a 4K frame as a JPEG of quality 90 has 2 to 3 million
_REFUSED = 1008  # WebSocket's code for what the server's rules forbid

router = APIRouter(prefix="/v1")


@router.websocket("/live")
async def live(socket: WebSocket, model: str | None = None) -> None:
    """Answer each binary message, one image file, by one message.

    Binary: an 8-bit grey PNG of class ids, at the frame's size. Text: JSON {"detail"}, one sentence
    on why this frame has no label; the next one may. The newest frame wins: one that comes while
    another waits for the network takes its place, and that other gets no answer.

    Browsers let pages of other sites open WebSockets here; the guard turns those away by their
    Origin header.
    """
    await socket.accept()
    try:
        _, batcher = choose(socket.app.state.batchers, model)
    except HTTPException as error:
        await socket.send_json({"detail": error.detail})
        return await socket.close(_REFUSED, "no such model")
    waiting: asyncio.Queue[bytes] = asyncio.Queue(1)
    tasks = [
        asyncio.create_task(_receive(socket, waiting)),
        asyncio.create_task(_answer(socket, waiting, batcher)),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:  # the client is gone, or the server stops: the frame at work is dropped
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception) and not isinstance(end, WebSocketDisconnect):
            raise end


async def _receive(socket: WebSocket, waiting: asyncio.Queue[bytes]) -> None:
    """Keep the newest frame until the client is gone."""
    while (message := await socket.receive())["type"] != "websocket.disconnect":
        if waiting.full():
            waiting.get_nowait()
        waiting.put_nowait(message.get("bytes") or b"")


async def _answer(socket: WebSocket, waiting: asyncio.Queue[bytes], batcher: Batcher) -> None:
    while True:
        data = await waiting.get()
        try:
            label = await _segment(socket, data, batcher)
        except HTTPException as error:
            await socket.send_json({"detail": error.detail})
        except InputError as error:
            await socket.send_json({"detail": str(error)})
        except Full:
            await socket.send_json({"detail": "the server is busy; this frame was left out"})
        else:
            await socket.send_bytes(label)
        finally:
            share_of(socket).release()


async def _segment(socket: WebSocket, data: bytes, batcher: Batcher) -> bytes:
    """A frame's bytes -> its label as a PNG.

    Raises:
        HTTPException: empty, too large, another kind of file, damaged, or too much at once.
        Full: too many frames wait for the network.
        InputError: the network cannot compute this frame.
    """
    settings = socket.app.state.settings
    if not data:
        raise HTTPException(422, "send each frame as a binary message: one JPEG file")
    if len(data) > MAX_FRAME:
        raise HTTPException(413, f"a frame of {len(data)} bytes: {MAX_FRAME} are allowed")
    pixels = check_image(data, min(settings.max_pixels, settings.max_video_pixels))
    share_of(socket).take(len(data) + PER_PIXEL * pixels)
    image = await in_thread(socket, decode_image, data)
    return await in_thread(socket, label_png, await batcher.segment(image))
