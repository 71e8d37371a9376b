"""What the service allows: `Settings`."""

from __future__ import annotations

from dataclasses import dataclass

MB = 1_000_000


@dataclass(frozen=True)
class Settings:
    """How the service binds, batches and limits.

    Args:
        host, port: the address that it binds to; port 0: any free one.
        token: what a request must show; None: nothing.
        allow_hosts: further names that a Host header may say, such as a proxy's.
        batch: frames that the network gets at once, at most.
        wait_ms: how long a frame waits for others before the network starts.
        queue: frames that wait for the network, at most; one more gets 503.
        max_body: bytes of a request, but for videos.
        max_pixels: of an image, known before it is decoded.
        max_memory: bytes of all bodies and decoded frames at work; one more request gets 503.
        max_answer: bytes of an answer.
        max_video_bytes: of a video that is sent, and of all files of its job.
        max_video_seconds: length of a video.
        max_video_pixels: of one frame of a video: decoding keeps about ten.
        max_jobs: videos that wait, run or are kept for their result; one more gets 503.
        keep_seconds: how long a finished video's result is kept.
        body_seconds: a body must begin to arrive within this time, and arrive at `body_rate`.
        body_rate: bytes/s, on average, of a client that is not cut off.
        header_seconds: the headers of a request must arrive within this time.
        write_seconds: a client that reads nothing for so long is cut off.
        drain_seconds: how long a stopped server finishes what it has begun.
        connections: open at once; one more gets 503.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    allow_hosts: tuple[str, ...] = ()
    batch: int = 8
    wait_ms: float = 0
    queue: int = 64
    max_body: int = 25 * MB
    max_pixels: int = 50 * MB
    max_memory: int = 1000 * MB
    max_answer: int = 256 * MB
    max_video_bytes: int = 500 * MB
    max_video_seconds: float = 600
    max_video_pixels: int = 10 * MB
    max_jobs: int = 4
    keep_seconds: float = 600
    body_seconds: float = 15
    body_rate: int = 50_000
    header_seconds: float = 10
    write_seconds: float = 30
    drain_seconds: float = 30
    connections: int = 500
