"""The webcam's frames over a WebSocket: a JPEG in, the PNG of its class ids out."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, HTTPException, WebSocket, WebSocketDisconnect

from dashseg.errors import InputError
from dashseg.labels import Image
from dashseg.serving.answers import label_png
from dashseg.serving.batching import Batcher, Full
from dashseg.serving.segment import choose
from dashseg.serving.settings import Settings
from dashseg.serving.uploads import check_image, decode_image

MAX_FRAME = 4_000_000  # bytes; a 4K frame as a JPEG of quality 90 has 2 to 3 million
_REFUSED = 1008  # WebSocket's code for what the server's rules forbid

router = APIRouter(prefix="/v1")


@router.websocket("/live")
async def live(socket: WebSocket, model: str | None = None) -> None:
    """Answer each binary message, one image file, by one message.

    Binary: an 8-bit grey PNG of class ids, at the frame's size. Text: JSON {"detail"}, one sentence
    on why this frame has no label; the next one may. The newest frame wins: one that comes while
    another waits for the network takes its place, and that other gets no answer.

    Pages of other sites may open WebSockets here too, so their Origin, which browsers always send,
    must be this service. A program that sends none is let in, as it is to `/v1/segment`.
    """
    if not _is_own_page(socket.headers.get("origin"), socket.headers.get("host", "")):
        return await socket.close(_REFUSED)  # before accept: the client gets 403
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


def _is_own_page(origin: str | None, host: str) -> bool:
    return origin is None or origin.partition("://")[2].lower() == host.lower()


async def _receive(socket: WebSocket, waiting: asyncio.Queue[bytes]) -> None:
    """Keep the newest frame until the client is gone."""
    while (message := await socket.receive())["type"] != "websocket.disconnect":
        if waiting.full():
            waiting.get_nowait()
        waiting.put_nowait(message.get("bytes") or b"")


async def _answer(socket: WebSocket, waiting: asyncio.Queue[bytes], batcher: Batcher) -> None:
    workers = socket.app.state.workers
    loop = asyncio.get_running_loop()
    while True:
        data = await waiting.get()
        try:
            image = await loop.run_in_executor(workers, _decode, data, socket.app.state.settings)
            result = await batcher.segment(image)
        except HTTPException as error:
            await socket.send_json({"detail": error.detail})
        except InputError as error:
            await socket.send_json({"detail": str(error)})
        except Full:
            await socket.send_json({"detail": "the server is busy; this frame was left out"})
        else:
            await socket.send_bytes(await loop.run_in_executor(workers, label_png, result))


def _decode(data: bytes, settings: Settings) -> Image:
    """A frame's bytes -> uint8 H×W×3 RGB.

    Raises:
        HTTPException: empty, too large, another kind of file, or damaged.
    """
    if not data:
        raise HTTPException(422, "send each frame as a binary message: one JPEG file")
    if len(data) > MAX_FRAME:
        raise HTTPException(413, f"a frame of {len(data)} bytes: {MAX_FRAME} are allowed")
    check_image(data, min(settings.max_pixels, settings.max_video_pixels))
    return decode_image(data)
