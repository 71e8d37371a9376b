"""Requests that no honest client sends, as bytes for a socket: the same ones for the same seed."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

TEXTS = (
    "", "0", "-1", "1e999", "9" * 400, "true", "null", "NaN", "../../../etc/passwd", "%00",
    "%2e%2e%2f", "a" * 3000, "ü€𝄞", "'; DROP TABLE frames; --", "<script>alert(1)</script>",
    "{{7*7}}", "${jndi:ldap://x}", "\\\\host\\share", "file:///etc/passwd", "http://127.0.0.1/",
)  # fmt: skip
HEADERS = (
    "Host: evil.example", "Host: localhost\r\nHost: evil.example", "Content-Length: -1",
    "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 99999999999999999999",
    "Transfer-Encoding: chunked\r\nContent-Length: 4", "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked", "Expect: 100-continue", "Content-Encoding: gzip",
    "Content-Type: multipart/form-data", "Content-Type: multipart/form-data; boundary=",
    "Content-Type: multipart/form-data; boundary=" + "x" * 500, "Content-Type: application/json",
    "Inference-Header-Content-Length: -5", "Inference-Header-Content-Length: 99999999",
    "Inference-Header-Content-Length: 1", "Accept: ;;;q=,,,*/*;q=nan", "Accept: image/png;q=-inf",
    "Authorization: Bearer \xff\xfe", "Cookie: dashseg=\"\\377; ;;=;", "Origin: http://evil",
    "Origin: http://[", "Range: bytes=0-,-1,5-2", "If-Match: \"" + "9" * 300, "If-None-Match: *",
    "Connection: Upgrade\r\nUpgrade: websocket", "Upgrade: h2c\r\nConnection: Upgrade",
    "X-Forwarded-Host: evil", "X-Forwarded-For: ::1", "X: " + "y" * 60_000, "No-Colon", ": empty",
    "X\x00: y", " folded: yes",
)  # fmt: skip


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be so large."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body
        data += struct.pack(">I", zlib.crc32(kind + body))
    return data


class Hostile:
    """Makes requests against the routes of an OpenAPI schema.

    Args:
        schema: the server's /openapi.json.
        images: honest image files, to be damaged.
    """

    def __init__(self, schema: dict[str, Any], images: list[bytes], seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.images = images
        self.routes = [
            (method.upper(), path, operation)
            for path, methods in sorted(schema["paths"].items())
            for method, operation in sorted(methods.items())
        ]
        self.bodies: list[Callable[[], bytes]] = [
            self.damaged, self.damaged, self.damaged, self.bomb, self.tensor, self.tensor,
            self.text, lambda: self.random.randbytes(self.random.randrange(3000)),
            lambda: self.random.choice(self.images), lambda: b"",
        ]  # fmt: skip

    def request(self) -> bytes:
        """The next one."""
        method, path, operation = self.random.choice(self.routes)
        query = []
        for parameter in operation.get("parameters", []):
            value = self.random.choice((*TEXTS, "small", "0", "label"))
            if parameter["in"] == "path":
                path = path.replace("{" + parameter["name"] + "}", value or "x")
            elif self.random.random() < 0.6:
                query.append(f"{parameter['name']}={value}")
        if self.random.random() < 0.1:
            path = self.random.choice(("/static/page/", "/desk/", "//", "/v1/", "")) + path
        if self.random.random() < 0.05:
            method = self.random.choice(("PUT", "PATCH", "TRACE", "CONNECT", "get", "X" * 300))
        target = path + ("?" + "&".join(query) if query else "")
        target = target.replace(" ", "+").replace("\\", "%5C")
        body = self.random.choice(self.bodies)() if method != "GET" else b""
        lines = [f"{method} {target} HTTP/1.1"]
        extra = self.random.sample(HEADERS, self.random.choice((0, 1, 1, 2)))
        said = {line.partition(":")[0].lower() for line in extra}
        if "host" not in said:
            lines.append("Host: localhost")
        if not said & {"content-length", "transfer-encoding"}:
            wrong = self.random.choice((0,) * 8 + (-1, 7))  # a body shorter or longer than said
            lines.append(f"Content-Length: {max(0, len(body) + wrong)}")
        content = [*operation.get("requestBody", {}).get("content", {})]
        if content and "content-type" not in said:
            lines.append(f"Content-Type: {self.random.choice(content)}")
        head = "\r\n".join([*lines, *extra, "Connection: close", "", ""])
        request = head.encode("utf-8", "surrogateescape") + body
        if self.random.random() < 0.1:
            return self.mutate(request)
        return request

    def damaged(self) -> bytes:
        """An image with some bytes changed, cut off, or doubled."""
        return self.mutate(self.random.choice(self.images))

    def mutate(self, data: bytes) -> bytes:
        """Change a few bytes, most of them in the header; perhaps cut the end off."""
        changed = bytearray(data)
        for _ in range(self.random.randrange(1, 12)):
            reach = self.random.choice((64, 700, len(changed)))
            changed[self.random.randrange(min(reach, len(changed)))] = self.random.randrange(256)
        if self.random.random() < 0.3:
            del changed[self.random.randrange(len(changed)) :]
        return bytes(changed)

    def bomb(self) -> bytes:
        """A small file that would decode to gigabytes."""
        side = self.random.choice((20_000, 65_535, 1 << 31))
        return png_bomb(side, self.random.choice((1, 20_000, 65_535)))

    def tensor(self) -> bytes:
        """A KServe request, with something wrong in most."""
        shape = self.random.choice(([1, 2, 2, 3], [1, 9**6, 9**6, 3], [-1, 2, 2, 3], [], None))
        tensor: dict[str, Any] = {"name": "image", "datatype": "UINT8", "shape": shape}
        tensor["data"] = self.random.choice(
            ([0] * 12, [300] * 12, [[[[0] * 3] * 2] * 2], "x", None, [[1], 2], [1e300] * 12)
        )
        if self.random.random() < 0.3:
            size = self.random.choice((12, -1, 1 << 70, "x"))
            tensor["parameters"] = {"binary_data_size": size}
        return json.dumps({"inputs": [tensor]}).encode() + self.random.randbytes(
            self.random.choice((0, 12))
        )

    def text(self) -> bytes:
        """JSON that is deep, odd or no JSON."""
        deep = b"[" * 50_000
        choices = [text.encode() for text in TEXTS]
        return self.random.choice((deep, b'{"a":' * 5000, b"#EXTM3U\nfile:///etc/passwd", *choices))
