"""Models -> the web application: `create_app`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Response

from dashseg import __version__
from dashseg.inference import Segmenter
from dashseg.serving import kserve, live, segment, video
from dashseg.serving.batching import Batcher
from dashseg.serving.guard import Guard
from dashseg.serving.jobs import Jobs
from dashseg.serving.metrics import Measure, Metrics
from dashseg.serving.problems import explain_errors
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
        title="dashseg",
        version=__version__,
        description="Semantic segmentation of what a dash camera sees.",
        lifespan=_lifespan,
        docs_url=None,  # FastAPI's page loads its script from another site
        redoc_url=None,
    )
    metrics = Metrics()
    batchers = {
        name: Batcher(
            segmenter, settings.batch, settings.wait_ms, settings.queue, metrics.count_batches(name)
        )
        for name, segmenter in models.items()
    }
    metrics.watch_queues(batchers)
    app.state.settings = settings
    app.state.batchers = batchers
    app.state.workers = ThreadPoolExecutor(max(2, os.cpu_count() or 2), "pictures")
    app.state.jobs = Jobs(settings)
    for router in (segment.router, video.router, kserve.router, live.router):
        app.include_router(router)
    if desk is not None:
        from dashseg.serving.desk import desk_router

        app.include_router(desk_router(desk))
    app.include_router(static_router(desk is not None))

    @app.get("/metrics", tags=["service"], response_class=Response)
    def read_metrics() -> Response:
        """Requests, latency, queue, batches and memory, in Prometheus' text format."""
        return metrics.answer()

    explain_errors(app)
    app.add_middleware(Guard, settings=settings, limits=video.limits(settings))
    app.add_middleware(Measure, metrics=metrics)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.jobs.open()
    try:
        yield
    finally:
        app.state.jobs.close()
        for batcher in app.state.batchers.values():
            batcher.close()
        app.state.workers.shutdown()
