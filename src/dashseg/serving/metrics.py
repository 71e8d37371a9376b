"""What Prometheus reads at `/metrics`: `Metrics`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashseg.serving.batching import Batcher

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one application, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # process_resident_memory_bytes and the like
        self.requests = Counter(
            "dashseg_requests", "Requests answered.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "dashseg_request_seconds", "From a request's headers to the end of its answer.",
            ["route"], registry=self.registry, buckets=_SECONDS,
        )  # fmt: skip
        self.batches = Histogram(
            "dashseg_batch_size", "Frames that the network got at once.",
            ["model"], registry=self.registry, buckets=_SIZES,
        )  # fmt: skip
        self.queue = Gauge(
            "dashseg_queue_length", "Frames that wait for the network.",
            ["model"], registry=self.registry,
        )  # fmt: skip

    def count_batches(self, model: str) -> Callable[[int], None]:
        """A function to call with the size of each batch of a model."""
        return self.batches.labels(model).observe

    def watch_queues(self, batchers: Mapping[str, Batcher]) -> None:
        """Report how many frames wait for each model."""
        for model, batcher in batchers.items():
            self.queue.labels(model).set_function(partial(getattr, batcher, "waiting"))

    def answer(self) -> Response:
        """The text that Prometheus reads."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


class Measure:
    """ASGI middleware: counts the requests of each route, and how long they take."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 0  # the client was gone before the answer began

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception:
            status = status or 500
            raise
        finally:
            # The route's pattern and not the path, of which there are endlessly many.
            route = getattr(scope.get("route"), "path", "none")
            self.metrics.requests.labels(route, status).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - start)
