"""A client that does not wait, a queue that is full, memory that others hold."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest
from starlette.exceptions import HTTPException

from dashseg.serving.work import Memory, Share


def begin(address: str, body: bytes) -> socket.socket:
    """A request whose answer is not read."""
    host, _, port = address.partition(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    head = f"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def waiting(ask, address: str, count: int) -> None:
    """Return when so many frames wait for the network."""
    line = f'dashseg_queue_length{{model="gated"}} {count}.0'.encode()
    end = time.monotonic() + 20
    while line not in ask(address, "GET", "/metrics")[2]:
        assert time.monotonic() < end
        time.sleep(0.01)


def grey(encoded, value: int) -> bytes:
    import PIL.Image

    return encoded("PNG", PIL.Image.new("RGB", (56, 40), (value, value, value)))


def test_the_work_of_a_client_that_is_gone_is_dropped(ask, serve, gated, encoded) -> None:
    with serve({"gated": gated}) as address:
        first = begin(address, grey(encoded, 10))
        assert gated.runtime.began.wait(20)
        gone = begin(address, grey(encoded, 20))
        waiting(ask, address, 1)
        other = begin(address, grey(encoded, 30))
        waiting(ask, address, 2)
        gone.close()
        waiting(ask, address, 1)
        gated.runtime.open.set()
        for connection in (first, other):
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
            connection.close()
    assert gated.runtime.frames == [10, 30]


def test_a_full_queue_answers_503_and_then_recovers(ask, serve, gated, encoded) -> None:
    with serve({"gated": gated}, queue=1) as address:
        connections = [begin(address, grey(encoded, 10))]
        assert gated.runtime.began.wait(20)
        connections.append(begin(address, grey(encoded, 20)))
        waiting(ask, address, 1)
        status, headers, body = ask(address, "POST", "/v1/segment", grey(encoded, 30))
        assert (status, headers["retry-after"]) == (503, "1")
        assert "queue is full" in json.loads(body)["detail"]
        gated.runtime.open.set()
        for connection in connections:
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
            connection.close()
        assert ask(address, "POST", "/v1/segment", grey(encoded, 40))[0] == 200


def test_a_frame_that_fails_harms_no_other(ask, serve, gated, encoded) -> None:
    with serve({"gated": gated}) as address:
        answers: list[int] = []
        connections = [begin(address, grey(encoded, value)) for value in (10, 255, 20)]
        threading.Timer(0, gated.runtime.open.set).start()
        for connection in connections:
            answers.append(int(connection.recv(100).split()[1]))
            connection.close()
    assert answers == [200, 500, 200]


def test_memory_is_shared_and_freed() -> None:
    memory = Memory(100)
    first, second = Share(memory), Share(memory)
    first.take(60)
    with pytest.raises(HTTPException) as busy:
        second.take(41)
    assert busy.value.status_code == 503 and busy.value.headers == {"Retry-After": "1"}
    with pytest.raises(HTTPException) as never:
        first.take(41)
    assert never.value.status_code == 413
    first.release()
    second.take(100)
    second.release()
    assert memory.taken == 0
