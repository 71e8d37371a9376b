"""The socket, and the addresses that ask for a token. Signals: tests/cli/test_serve.py."""

from __future__ import annotations

import socket

import pytest

from dashseg.errors import InputError

pytest.importorskip("uvicorn")

from dashseg.serving.server import address_of, bind, check_address, is_loopback
from dashseg.serving.settings import Settings


def test_only_loopback_needs_no_token() -> None:
    for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
        assert is_loopback(host)
        check_address(Settings(host), insecure=False)
    for host in ("0.0.0.0", "::", "192.168.0.7", "frames.example", ""):
        assert not is_loopback(host)
        with pytest.raises(InputError, match="--token-file"):
            check_address(Settings(host), insecure=False)
        check_address(Settings(host), insecure=True)
        check_address(Settings(host, token="a long enough token"), insecure=False)


def test_a_taken_port_and_a_strange_address_are_one_line() -> None:
    with bind("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        assert address_of(listening) == f"http://127.0.0.1:{port}/"
        with pytest.raises(InputError, match=f"port {port} is taken: choose another --port"):
            bind("127.0.0.1", port)
    for host in ("203.0.113.9", "no such name", "x" * 300, "\0"):
        with pytest.raises(InputError, match="not an address of this machine"):
            bind(host, 0)


def test_connections_send_what_they_have_at_once() -> None:
    """Nagle's algorithm would hold an answer's body until the client acknowledges its headers."""
    with bind("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_client_that_reads_nothing_is_cut_off(ask, serve, segmenter, encoded) -> None:
    """Otherwise its answer, and the end of the server, would wait for it."""
    import PIL.Image

    large = encoded("PNG", PIL.Image.new("RGB", (2000, 2000)))
    with serve({"tiny": segmenter}, write_seconds=0.2) as address:
        host, _, port = address.partition(":")
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        head = f"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(large)}\r\n"
        accept = "Accept: application/octet-stream\r\n\r\n"  # an answer of 80 MB
        connection.sendall((head + accept).encode() + large)
        connection.settimeout(20)
        assert connection.recv(1, socket.MSG_PEEK)  # it has begun
        assert ask(address)[0] == 200
    # `serve` has waited for the server to end, although this connection is open
    connection.close()
