"""Models -> the web application: `create_app`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from dashseg import __version__
from dashseg.inference import Segmenter
from dashseg.serving import segment
from dashseg.serving.batching import Batcher, Full
from dashseg.serving.settings import Settings
from dashseg.serving.static import static_router

if TYPE_CHECKING:
    from dashseg.serving.desk import Desk


def create_app(
    models: Mapping[str, Segmenter], settings: Settings, desk: Desk | None = None
) -> FastAPI:
    """The service, the page and, with `desk`, the desk.

    Args:
        models: name in URLs -> model; the first is the default.
    """
    app = FastAPI(
        title="dashseg", version=__version__, lifespan=_lifespan, docs_url=None, redoc_url=None
    )
    app.state.settings = settings
    app.state.workers = ThreadPoolExecutor(4, "pictures")
    app.state.batchers = {
        name: Batcher(segmenter, settings.batch, settings.wait_ms, settings.queue)
        for name, segmenter in models.items()
    }
    app.include_router(segment.router)
    if find_spec("dashseg.serving.live"):
        from dashseg.serving import live

        app.include_router(live.router)
    if desk is not None:
        from dashseg.serving.desk import desk_router

        app.include_router(desk_router(desk))
    app.include_router(static_router(desk is not None))
    app.add_exception_handler(Full, _full)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    for batcher in app.state.batchers.values():
        batcher.close()
    app.state.workers.shutdown()


def _full(request: Request, error: Exception) -> JSONResponse:
    detail = "the server is busy; try again in a second"
    return JSONResponse({"detail": detail}, 503, {"Retry-After": "1"})
