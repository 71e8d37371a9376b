"""A running service, as `serve(models)`: real uvicorn on a free port, in a thread."""

from __future__ import annotations

import http.client
import io
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from dashseg.inference import Segmenter, load


@pytest.fixture(scope="session")
def serve():
    """with serve({name: segmenter}, desk=None, **settings) as address: "127.0.0.1:PORT"."""
    pytest.importorskip("uvicorn")
    from dashseg.serving.app import create_app
    from dashseg.serving.server import bind, make_server
    from dashseg.serving.settings import Settings

    @contextmanager
    def run(models: Mapping[str, Segmenter], *, desk=None, **settings: Any) -> Iterator[str]:
        with bind("127.0.0.1", 0) as listening:
            port = listening.getsockname()[1]
            chosen = Settings(port=port, **settings)
            server = make_server(create_app(models, chosen, desk), chosen)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()  # requests wait in the listener until it is up
            try:
                yield f"127.0.0.1:{port}"
            finally:
                server.should_exit = True
                thread.join()

    return run


@pytest.fixture(scope="session")
def segmenter(model_directory: Path) -> Segmenter:
    """The tiny model."""
    return load(model_directory, device="cpu")


@pytest.fixture(scope="session")
def tiny_service(serve, segmenter):
    """The address of a service with the tiny model and the usual settings."""
    with serve({"tiny": segmenter}) as address:
        yield address


@pytest.fixture(scope="session")
def ask():
    """ask(address, "POST", path, body, headers) -> (status, headers, body)."""

    def run(address, method="GET", path="/v2/health/live", body=None, headers=()):
        connection = http.client.HTTPConnection(address, timeout=30)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    return run


@pytest.fixture(scope="session")
def frame() -> PIL.Image.Image:
    """A frame in which the tiny model sees several classes."""
    rng = np.random.default_rng(3)
    blocks = rng.integers(0, 256, (7, 11, 3), np.uint8)
    return PIL.Image.fromarray(np.kron(blocks, np.ones((10, 10, 1), np.uint8)))


@pytest.fixture(scope="session")
def encoded(frame):
    """encoded("PNG", **options) -> the frame as a file's bytes, by Pillow."""

    def encode(kind: str = "PNG", image: PIL.Image.Image = frame, **options: object) -> bytes:
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    return encode


class Gate:
    """A runtime that waits until it is opened, and fails on frames that are all white."""

    def __init__(self, runtime) -> None:
        self._runtime = runtime
        self.name, self.size, self.precision = runtime.name, runtime.size, runtime.precision
        self.parallel = runtime.parallel
        self.open, self.began = threading.Event(), threading.Event()
        self.frames: list[int] = []  # the brightness of each frame that it got

    def __call__(self, batch):
        self.began.set()
        assert self.open.wait(20)
        self.frames += [int(frame.mean()) for frame in batch]
        if (batch == 255).all((1, 2, 3)).any():
            raise RuntimeError("a white frame")
        return self._runtime(batch)


@pytest.fixture
def gated(segmenter):
    """The tiny model, closed until `.runtime.open.set()`."""
    gate = Gate(segmenter.runtime)
    yield Segmenter(gate, segmenter.input, segmenter.classes, "gated")
    gate.open.set()


@pytest.fixture(scope="session")
def disconnect():
    """disconnect(address, path, announced, sent): send a part of a body, and leave."""

    def run(address: str, path: str, announced: int, sent: bytes) -> None:
        host, _, port = address.partition(":")
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {announced}\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(head.encode() + sent)

    return run
