"""A running service, as `serve(models)`: real uvicorn on a free port, in a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from dashseg.inference import Segmenter


@pytest.fixture(scope="session")
def serve():
    """with serve({name: segmenter}, **settings) as address: "127.0.0.1:PORT"."""
    pytest.importorskip("uvicorn")
    from dashseg.serving.app import create_app
    from dashseg.serving.server import make_server
    from dashseg.serving.settings import Settings

    @contextmanager
    def run(models: Mapping[str, Segmenter], **settings: object) -> Iterator[str]:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        wanted = Settings(port=port, **settings)
        server = make_server(create_app(models, wanted), wanted)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()  # requests wait in the listener until it is up
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()

    return run


class Gate:
    """A runtime that computes only while it is open."""

    def __init__(self, runtime) -> None:
        self.runtime = runtime
        self.open, self.entered = threading.Event(), threading.Event()
        self.open.set()

    def __getattr__(self, name: str):
        return getattr(self.runtime, name)

    def __call__(self, frames):
        self.entered.set()
        assert self.open.wait(30)
        return self.runtime(frames)


@pytest.fixture(scope="session")
def gated():
    """gated(segmenter) -> the same, whose `.runtime` can be held: .open and .entered are events."""

    def hold(segmenter: Segmenter) -> Segmenter:
        segmenter.runtime = Gate(segmenter.runtime)
        return segmenter

    return hold
