"""What is no image, or too much of one, gets its status and a sentence, and harms nobody else."""

from __future__ import annotations

import json
import logging
import socket
import struct
import zlib
from contextlib import suppress

import PIL.Image
import pytest


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is so large."""
    chunks = b""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 99)), (b"IEND", b"")):
        check = struct.pack(">I", zlib.crc32(kind + data))
        chunks += struct.pack(">I", len(data)) + kind + data + check
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff_twice(encoded) -> bytes:
    """A TIFF whose directory says its width twice: first huge, then small."""
    entries = [(0x100, 60_000), (0x100, 1), (0x101, 60_000), (0x101, 1)]
    directory = struct.pack("<H", len(entries))
    for tag, value in entries:
        directory += struct.pack("<HHII", tag, 4, 1, value)
    return b"II*\0" + struct.pack("<I", 8) + directory + b"\0\0\0\0"


FORM = {"Content-Type": "multipart/form-data; boundary=xyz"}
PART = b'--xyz\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'


@pytest.mark.parametrize(
    ("status", "make", "headers"),
    [
        (422, lambda encoded: b"", {}),
        (415, lambda encoded: b"hello", {}),
        (415, lambda encoded: b"GIF89a" + bytes(100), {}),
        (415, lambda encoded: b"%PDF-1.7", {"Content-Type": "image/png"}),
        (422, lambda encoded: encoded("PNG")[:-30], {}),
        (422, lambda encoded: encoded("JPEG")[:-200], {}),
        (422, lambda encoded: encoded("WEBP")[:60], {}),
        (422, lambda encoded: encoded("TIFF")[:100], {}),
        (422, lambda encoded: b"BM" + bytes(60), {}),
        (422, lambda encoded: encoded("PNG", PIL.Image.new("I;16", (4, 4))), {}),  # 16-bit
        (413, lambda encoded: png_of(40_000, 40_000), {}),
        (413, lambda encoded: png_of(1, 2_000_000_000), {}),
        (413, tiff_twice, {}),
        (422, lambda encoded: png_of(0, 5), {}),
        (422, lambda encoded: b"no form", FORM),
        (422, lambda encoded: PART % b"other" + b"x\r\n--xyz--\r\n", FORM),
        (422, lambda encoded: PART % b"file" + b"a field, no file\r\n--xyz--\r\n", FORM),
        (422, lambda encoded: b"--xyz\r\n\r\n\r\n--xyz--", FORM),
        (422, lambda encoded: b"x", {"Content-Type": "multipart/form-data"}),
    ],
)
def test_a_hostile_upload_gets_one_sentence(
    ask, tiny_service, encoded, status, make, headers
) -> None:
    found, _, body = ask(tiny_service, "POST", "/v1/segment", make(encoded), headers)
    detail = json.loads(body)["detail"]
    assert found == status, detail
    assert detail and "\n" not in detail and "Traceback" not in detail
    assert ask(tiny_service, "POST", "/v1/segment", encoded())[0] == 200


def talk(address: str, *parts: bytes) -> bytes:
    """Send parts, then read until the server closes the connection."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while piece := connection.recv(1 << 16):
            answer += piece
        return answer


HEAD = b"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def strict(serve, segmenter):
    """A service with small limits and little patience."""
    limits = {"max_body": 10_000, "body_seconds": 0.3, "body_rate": 10**9, "header_seconds": 0.3}
    with serve({"tiny": segmenter}, **limits) as address:
        yield address


def test_a_body_is_refused_by_its_announced_length(strict, ask) -> None:
    answer = talk(strict, HEAD + b"Content-Length: 10001\r\n\r\n" + bytes(10_001))
    assert answer.startswith(b"HTTP/1.1 413 ") and b"10000 bytes are allowed" in answer


def test_a_body_without_a_length_is_counted_as_it_arrives(strict, ask) -> None:
    chunk = b"1000\r\n" + bytes(0x1000) + b"\r\n"
    answer = talk(strict, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 8, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert ask(strict)[0] == 200


def test_a_body_that_stops_arriving_gets_408(strict, ask) -> None:
    answer = talk(strict, HEAD + b"Content-Length: 5000\r\n\r\n" + bytes(10))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert ask(strict)[0] == 200


def test_a_body_that_is_no_http_gets_400_and_leaves_no_traceback(strict, ask, caplog) -> None:
    log = logging.getLogger("uvicorn.error")
    log.addHandler(caplog.handler)
    head = HEAD.replace(b"/v1/segment", b"/none")  # answered before the body is read
    answer = talk(strict, head + b"Transfer-Encoding: chunked\r\n\r\nnot a chunk\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert ask(strict)[0] == 200
    log.removeHandler(caplog.handler)
    assert not caplog.records


@pytest.mark.parametrize("sent", [b"", b"POST /v1/seg", HEAD])
def test_headers_that_never_end_are_cut_off(strict, ask, sent) -> None:
    with suppress(ConnectionResetError):
        assert talk(strict, sent) == b""
    assert ask(strict)[0] == 200


def test_more_memory_than_there_is_gets_503_and_is_freed(ask, serve, segmenter, encoded) -> None:
    needed = 8 * 110 * 70 + len(encoded("BMP"))
    with serve({"tiny": segmenter}, max_memory=needed) as address:
        for _ in range(3):  # what one request held is free for the next one
            assert ask(address, "POST", "/v1/segment", encoded("BMP"))[0] == 200
    with serve({"tiny": segmenter}, max_memory=needed - 1) as address:
        assert ask(address, "POST", "/v1/segment", encoded("BMP"))[0] == 413
