"""Senders of live video on 127.0.0.1, in threads: HTTP MJPEG, MPEG-TS by UDP and TCP, and RTSP."""

from __future__ import annotations

import base64
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

SIZE = 48, 64  # H, W
PAUSE = 0.02  # seconds between frames


def wait_until(true: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def jpeg(level: int) -> bytes:
    """A frame of one grey."""
    file = io.BytesIO()
    PIL.Image.new("RGB", SIZE[::-1], (level, level, level)).save(file, "JPEG", quality=95)
    return file.getvalue()


class Mjpeg:
    """Sends `per_connection` frames of greys that rise by one, as `allowed` permits them."""

    def __init__(self, per_connection: int = 10**9, password: str = "", port: int = 0) -> None:
        self.sent = self.connections = 0
        self.allowed = 10**9
        self.stop = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = base64.b64encode(f"user:{password}".encode()).decode()
                if password and self.headers.get("Authorization") != f"Basic {wanted}":
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
                outer.connections += 1
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                with suppress(OSError):
                    for _ in range(per_connection):
                        while outer.sent >= outer.allowed and not outer.stop.is_set():
                            outer.stop.wait(0.005)
                        if outer.stop.wait(PAUSE):
                            return
                        data = jpeg(40 + outer.sent % 180)
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}"
                        self.wfile.write(f"{head}\r\n\r\n".encode() + data + b"\r\n")
                        outer.sent += 1

            def log_message(self, *arguments: Any) -> None:
                """Nothing: tests look at stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        user = f"user:{password}@" if password else ""
        self.url = f"http://{user}127.0.0.1:{self.port}/live?key=hidden"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.stop.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def mjpeg(**options: Any) -> Iterator[Mjpeg]:
    server = Mjpeg(**options)
    try:
        yield server
    finally:
        server.close()


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def in_thread(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run `work(stop)` until the block ends."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def send_mpegts(target: Any, stop: threading.Event, frames: int = 10**9) -> None:
    """H.264, a key frame every five, to a URL or a file that is open."""
    import av

    with suppress(OSError), av.open(target, "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=50, options={"tune": "zerolatency"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.gop_size = 5
        for number in range(frames):
            if stop.wait(PAUSE):
                return
            image = np.full((*SIZE, 3), 40 + number % 180, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 50)
            container.mux(stream.encode(frame))


@contextmanager
def udp(port: int) -> Iterator[str]:
    with in_thread(lambda stop: send_mpegts(f"udp://127.0.0.1:{port}?pkt_size=1316", stop)):
        yield f"udp://127.0.0.1:{port}"


@contextmanager
def tcp() -> Iterator[str]:
    server = socket.create_server(("127.0.0.1", 0))

    def serve(stop: threading.Event) -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("wb", buffering=0) as file:
            send_mpegts(file, stop)

    with server, in_thread(serve):
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def rtsp(user: str, password: str) -> Iterator[str]:
    """A server of RTSP over TCP with Basic authentication, as RFC 2326 describes, for one client.

    RTP packets (RFC 6184) hold a NAL unit of H.264 each: frames of 64×48 are that small.
    """
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def serve(stop: threading.Event) -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as requests, suppress(OSError):
            while request := requests.readline().split():
                headers = {}
                while line := requests.readline().strip():
                    name, _, value = line.decode().partition(": ")
                    headers[name.lower()] = value
                lines, body = [f"CSeq: {headers['cseq']}"], ""
                status = "200 OK"
                if headers.get("authorization") != wanted and request[0] != b"OPTIONS":
                    status = "401 Unauthorized"
                    lines += ['WWW-Authenticate: Basic realm="camera"']
                elif request[0] == b"DESCRIBE":
                    body = (
                        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n"
                        "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
                        "a=fmtp:96 packetization-mode=1\r\na=control:track\r\n"
                    )
                    lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
                elif request[0] == b"SETUP":
                    lines += ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1"]
                elif request[0] == b"PLAY":
                    lines += ["Session: 1"]
                answer = "\r\n".join([f"RTSP/1.0 {status}", *lines, "", body])
                connection.sendall(answer.encode())
                if request[0] == b"PLAY":
                    _send_rtp(connection, stop)
                    return

    with server, in_thread(serve):
        yield f"rtsp://{user}:{password}@127.0.0.1:{port}/camera"


def _send_rtp(connection: socket.socket, stop: threading.Event) -> None:
    import av

    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = SIZE[1], SIZE[0], "yuv420p"
    encoder.time_base = Fraction(1, 50)
    encoder.gop_size = 5
    encoder.options = {"tune": "zerolatency", "x264-params": "repeat-headers=1"}
    sequence = number = 0
    while not stop.wait(PAUSE):
        image = np.full((*SIZE, 3), 40 + number % 180, np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 50)
        for packet in encoder.encode(frame):
            units = bytes(packet).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
            for place, unit in enumerate(units):
                marker = 0x80 if place == len(units) - 1 else 0
                header = bytes([0x80, marker | 96]) + (sequence % 65536).to_bytes(2, "big")
                header += (number * 1800).to_bytes(4, "big") + b"\0\0\0\1"
                data = header + unit
                connection.sendall(b"$\0" + len(data).to_bytes(2, "big") + data)
                sequence += 1
        number += 1


@contextmanager
def files(folder: Path) -> Iterator[str]:
    """An HTTP server of a folder's files."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
