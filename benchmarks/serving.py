"""The service against the model in process: requests/s, latency, memory, hostile requests.

    python benchmarks/serving.py MODEL FRAMES [--rounds 5] [--requests 200]
    python benchmarks/serving.py MODEL FRAMES --memory 10000 --hostile 1000
    python benchmarks/serving.py --smoke

FRAMES is a folder of JPEG files. Starts `dashseg serve MODEL` on a free port of this machine, and
prints:

* requests/s of 8 clients, as a share of the frames/s of `segment.many` on the same files, measured
  in turn in this process while the server is idle; and the processor time of a frame in both, which
  other programs on the machine change less;
* the time of one request alone, and the 99th percentile at half of those requests/s, sent evenly;
* with --memory, the server's resident memory over so many requests of small frames;
* with --hostile, what became of so many hostile requests: no answer may be 5xx but 503, and the
  service must answer after each.

--smoke does all of it with few small requests and drawn scenes.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import re
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from common import SMALL, arguments, spread
from hostile_requests import Hostile
from numpy.typing import NDArray

from dashseg.cli.main import main as dashseg
from dashseg.images import encode_jpeg, encode_png, read_image
from dashseg.inference import load
from dashseg.scenes import render_scene

CLIENTS = 8
PATIENCE = 40.0  # seconds for any answer


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("model", nargs="?", default="small")
    parser.add_argument("frames", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=200, help="in each round")
    parser.add_argument("--memory", type=int, default=0)
    parser.add_argument("--hostile", type=int, default=0)
    options = parser.parse_args()
    if options.smoke:
        options.rounds, options.requests, options.memory, options.hostile = 1, 3, 10, 20
    elif options.frames is None:
        parser.error("name a model and a folder of frames, or use --smoke")
    with tempfile.TemporaryDirectory() as name, serving(options.model) as address:
        folder = options.frames or drawn(Path(name))
        files = sorted(folder.glob("*.jpg"))
        chosen = [files[index % len(files)] for index in range(options.requests)]
        rate = throughput(address, options.model, chosen, options.rounds)
        latency(address, [path.read_bytes() for path in chosen], rate / 2)
        if options.memory:
            memory(address, files[0], options.memory)
        if options.hostile:
            hostile(address, files[0], options.hostile, () if options.smoke else SLOW)


def drawn(folder: Path) -> Path:
    """A folder with two small scenes."""
    for number in range(2):
        image = render_scene(0, number, SMALL).image
        (folder / f"{number}.jpg").write_bytes(encode_jpeg(image))
    return folder


@contextmanager
def serving(model: str) -> Iterator[str]:
    """`dashseg serve` in a process of its own -> its address; it must end by SIGTERM with 0."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = multiprocessing.get_context("fork").Process
    server = start(target=run_server, args=(["serve", model, "--port", str(port)],))
    server.start()
    address = f"127.0.0.1:{port}"
    try:
        while not alive(address):
            assert server.is_alive(), "the server has ended"
            time.sleep(0.05)
        yield address
    finally:
        server.terminate()
        server.join()
    assert server.exitcode == 0, f"the server ended with {server.exitcode}"


def run_server(command: list[str]) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(dashseg(command))


def alive(address: str) -> bool:
    """Whether the service answers."""
    try:
        return Client(address).get("/v2/health/live")[0] == 200
    except OSError:
        return False


class Client:
    """One connection, kept open."""

    def __init__(self, address: str) -> None:
        self.connection = http.client.HTTPConnection(address, timeout=PATIENCE)

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        return self.ask("GET", path, None)

    def segment(self, frame: bytes) -> float:
        """Seconds until the whole answer is there."""
        start = time.perf_counter()
        status, body = self.ask("POST", "/v1/segment", frame)
        assert status == 200 and b"segmentation_mask" in body, (status, body[:200])
        return time.perf_counter() - start

    def ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        try:
            self.connection.request(method, path, body)
        except OSError:  # the server closes a connection that was idle
            self.connection.close()
            self.connection.request(method, path, body)
        answer = self.connection.getresponse()
        return answer.status, answer.read()


def throughput(address: str, model: str, files: Sequence[Path], rounds: int) -> float:
    """Print frames/s in process and requests/s; returns the latter."""
    segment = load(model, device="cpu")
    for path in files[:2]:
        segment(path)  # warms up, as does the next line
        Client(address).segment(path.read_bytes())
    frames = [path.read_bytes() for path in files]
    inside: list[float] = []
    served: list[float] = []

    def in_process() -> None:
        for result in segment.many(files, batch_size=1):
            assert result.label.size

    own, server = [], []  # ms of processor time of a frame
    for _ in range(rounds):
        before, before_server = time.process_time(), measured(address, "process_cpu_seconds_total")
        inside.append(len(files) / timed(in_process))
        own.append(1000 * (time.process_time() - before) / len(files))
        served.append(len(files) / timed(lambda: in_parallel(address, frames)))
        after = measured(address, "process_cpu_seconds_total")
        server.append(1000 * (after - before_server) / len(files))
    ratios = [one / other for one, other in zip(served, inside, strict=True)]
    print(f"segment.many: {spread(inside)} frames/s")
    print(f"{CLIENTS} clients: {spread(served)} requests/s, {spread(ratios, 2)} of segment.many")
    print(f"processor time of a frame: {spread(own)} ms in process, {spread(server)} in the server")
    return statistics.median(served)


def in_parallel(address: str, frames: Sequence[bytes]) -> None:
    """Send all frames by so many clients, each one after the other."""
    turns = iter(frames)
    taking = threading.Lock()

    def work() -> None:
        client = Client(address)
        while True:
            with taking:
                frame = next(turns, None)
            if frame is None:
                return
            client.segment(frame)

    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(work) for _ in range(CLIENTS)]:
            done.result()


def latency(address: str, frames: Sequence[bytes], rate: float) -> None:
    """Print the time of one request alone, and the 99th percentile at a rate."""
    client = Client(address)
    alone = sorted(client.segment(frame) for frame in frames)
    start = time.perf_counter()
    clients = threading.local()

    def send(number: int) -> float:
        due = start + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        if not hasattr(clients, "own"):
            clients.own = Client(address)
        clients.own.segment(frames[number])
        return time.perf_counter() - due  # also what it waited for a client

    with ThreadPoolExecutor(CLIENTS) as pool:
        loaded = sorted(pool.map(send, range(len(frames))))
    single, late = statistics.median(alone), loaded[int(0.99 * len(loaded))]
    print(
        f"one request alone: {1000 * single:.1f} ms, 99 %"
        f" {1000 * alone[int(0.99 * len(alone))]:.1f} ms; at {rate:.1f} requests/s:"
        f" {1000 * statistics.median(loaded):.1f} ms, 99 % {1000 * late:.1f} ms,"
        f" {late / single:.2f} times one alone"
    )


def memory(address: str, frame: Path, requests: int) -> None:
    """Print the server's resident memory as requests of small frames go on."""
    small = cv2.resize(read_image(frame), (160, 120), interpolation=cv2.INTER_AREA)
    frames = [encode_jpeg(small)] * max(1, requests // 10)
    seen = []
    for _ in range(10):
        in_parallel(address, frames)
        seen.append(measured(address, "process_resident_memory_bytes") / 1e6)
    print(f"memory over {requests} requests, MB: {', '.join(f'{value:.0f}' for value in seen)}")


def measured(address: str, name: str) -> float:
    """A figure of the server's /metrics."""
    text = Client(address).get("/metrics")[1].decode()
    found = re.search(rf"^{name} (\S+)", text, re.MULTILINE)
    assert found, f"/metrics has no {name}"
    return float(found[1])


def hostile(address: str, frame: Path, requests: int, unfinished: Sequence[bytes]) -> None:
    """Print how often each status came; fails on a 5xx but 503, or when there is no answer.

    Args:
        unfinished: requests of clients that send no more, meanwhile.
    """
    schema = json.loads(Client(address).get("/openapi.json")[1])
    small = np.ascontiguousarray(read_image(frame)[:64, :64])
    images = [encode_jpeg(small), encode_png(small), *other_formats(small)]
    attacks = Hostile(schema, images)
    slow = ThreadPoolExecutor(CLIENTS)
    waits = [slow.submit(slowly, address, sent) for sent in unfinished]
    statuses: Counter[str] = Counter()
    longest = 0.0
    start = time.perf_counter()
    for _ in range(requests):
        request = attacks.request()
        statuses[answer_to(address, request)] += 1
        asked = time.perf_counter()
        check(alive(address), request)
        longest = max(longest, time.perf_counter() - asked)
    for wait in waits:
        check(wait.result() < PATIENCE, b"a slow client")
    bad = [status for status in statuses if status[0] == "5" and status != "503"]
    check(not bad, repr(bad).encode())
    check(Client(address).segment(images[0]) > 0, b"a frame at the end")
    counts = ", ".join(f"{status} {count}" for status, count in sorted(statuses.items()))
    print(
        f"{requests} hostile requests in {time.perf_counter() - start:.0f} s: {counts};"
        f" the service answered after each, in {1000 * longest:.0f} ms at most;"
        f" {len(unfinished)} slow clients cut off"
    )


SLOW = (
    b"", b"POST /v1/segment HTT", b"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\n",
    b"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n\xff\xd8\xff",
    b"POST /v1/video HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
)  # fmt: skip


def slowly(address: str, sent: bytes) -> float:
    """Seconds until the server gives up on a client that sends no more."""
    return timed(lambda: answer_to(address, sent, PATIENCE))


def answer_to(address: str, request: bytes, patience: float = 1.0) -> str:
    """The status that bytes on a socket get; or that the connection was closed without one, or
    that the server still waits for more when the patience is over."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=patience) as connection:
        try:
            connection.sendall(request)
            first = connection.recv(64)
        except TimeoutError:
            return "waits for more"
        except ConnectionError:
            return "closed"
    found = re.match(rb"HTTP/1\.1 ([0-9]{3}) ", first)
    return found[1].decode() if found else "closed"


def other_formats(image: NDArray[np.uint8]) -> list[bytes]:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return [cv2.imencode(suffix, bgr)[1].tobytes() for suffix in (".webp", ".bmp", ".tiff")]


def check(holds: bool, request: bytes) -> None:
    if not holds:
        raise SystemExit(f"the service failed after {request[:300]!r}")


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
