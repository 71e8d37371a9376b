"""The work for one request: in threads, within the memory there is, dropped if nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

Made = TypeVar("Made")

GONE = 499  # the status that nginx logs for a client which did not wait; nobody receives it


class Memory:
    """Bytes that all requests at work may hold together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0


class Share:
    """What one request holds of the memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._mine = 0

    def take(self, count: int) -> None:
        """Hold `count` more bytes until the request ends.

        Raises:
            HTTPException: 503, others hold too much; 413, one request may never hold so much.
        """
        memory = self._memory
        if self._mine + count > memory.limit:
            raise HTTPException(413, f"this needs more than the {memory.limit} bytes allowed")
        if memory.taken + count > memory.limit:
            raise busy("the server holds as much as it may; try again in a second")
        memory.taken += count
        self._mine += count

    def release(self) -> None:
        """The request has ended."""
        self._memory.taken -= self._mine
        self._mine = 0


def busy(detail: str) -> HTTPException:
    """503, for a client to try again."""
    return HTTPException(503, detail, {"Retry-After": "1"})


def share_of(request: HTTPConnection) -> Share:
    """The memory that the guard counts for a request or a WebSocket."""
    return request.scope["dashseg.share"]


class Gone(Exception):
    """The client did not wait for its answer."""


async def unless_gone(request: Request, work: Coroutine[object, object, Made]) -> Made:
    """Do the work for a request whose body was read; cancel it when the client disconnects.

    Raises:
        Gone: the client disconnected.
    """
    task = asyncio.create_task(work)
    watch = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Gone
    finally:
        task.cancel()
        watch.cancel()


async def in_thread(request: HTTPConnection, make: Callable[..., Made], *arguments: object) -> Made:
    """Call a function in one of the threads that decode and encode."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(request.app.state.workers, make, *arguments)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
