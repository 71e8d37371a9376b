"""Kill a real `dashseg serve --data` again and again while two people save labels at its desk.

    python benchmarks/desk_kill.py [--saves 200] [--kills 10] [--seed 0] [--smoke]

Two clients save labels of the same eight frames over HTTP; each saves on the newest version, and
takes the other's where it came first. The server is killed (kill -9) at an instant drawn anew each
time, and started again on the same folder. Prints how many saves were confirmed by an answer, how
many of those the journal has with the very label sent, how many masks could not be read whole
right after a kill, and how many masks differ from the newest version after a restart. Exit status
1 if a save was lost or a mask is not whole.
"""

from __future__ import annotations

import http.client
import io
import multiprocessing
import os
import random
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image
from common import SMALL, arguments
from numpy.typing import NDArray

from dashseg.cli import main as dashseg
from dashseg.labels import COMMA10K
from dashseg.scenes import synthesise

FRAMES, CLASSES = 8, 5
JOURNAL = ".dashseg-desk/journal.sqlite"
Label = NDArray[np.uint8]


class Save(NamedTuple):
    """What the server confirmed."""

    frame: int
    version: int
    by: str
    label: Label


class Client(threading.Thread):
    """Saves until the server is gone."""

    def __init__(
        self, name: str, port: int, seed: int, size: tuple[int, int], confirmed: list[Save]
    ) -> None:
        super().__init__(name=name)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.rng = np.random.default_rng(seed)
        self.size, self.confirmed = size, confirmed
        self.conflicts = 0

    def run(self) -> None:
        with suppress(OSError, http.client.HTTPException):  # killed
            while True:
                self.save(int(self.rng.integers(FRAMES)))

    def save(self, frame: int) -> None:
        path = f"/desk/api/frames/{frame}/label"
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        answer.read()
        version = int(answer.headers["ETag"].strip('"'))
        height, width = self.size
        blocks = self.rng.integers(0, CLASSES, (height // 8 + 1, width // 8 + 1), np.uint8)
        label = blocks.repeat(8, 0).repeat(8, 1)[:height, :width]
        body = io.BytesIO()
        PIL.Image.fromarray(label).save(body, "PNG")
        headers = {"If-Match": f'"{version}"'}
        self.connection.request("PUT", f"{path}?by={self.name}", body.getvalue(), headers)
        answer = self.connection.getresponse()
        answer.read()
        if answer.status == 200:
            self.confirmed.append(Save(frame, version + 1, self.name, label))
        else:
            self.conflicts += answer.status == 409
            assert answer.status == 409, answer.status


def serve(data: Path, out: Path, port: int) -> None:
    """In a process of its own: the server, as the command line starts it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    command = ["serve", "small", "--device", "cpu", "--port", str(port)]
    sys.exit(dashseg([*command, "--data", str(data), "--edits", str(out)]))


def start(data: Path, out: Path) -> tuple[multiprocessing.Process, int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = multiprocessing.get_context("fork").Process(target=serve, args=(data, out, port))
    server.start()
    while server.is_alive():
        with suppress(OSError):
            ready = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            ready.request("GET", "/v2/health/ready")
            ready.getresponse()
            ready.close()
            return server, port  # type: ignore[return-value]
        time.sleep(0.01)
    raise SystemExit("the server did not start")


def stop(server: multiprocessing.Process, number: signal.Signals) -> None:
    assert server.pid is not None
    os.kill(server.pid, number)
    server.join()


def read_mask(path: Path) -> Label | None:
    """Its label by Pillow; None: the file is not whole."""
    try:
        with PIL.Image.open(path) as picture:
            pixels = np.array(picture)
    except OSError:
        return None
    colours = np.array(COMMA10K.colours)
    return (pixels[:, :, None] == colours).all(-1).argmax(-1).astype(np.uint8)


def lost(out: Path, names: list[str], confirmed: list[Save]) -> int:
    """Confirmed saves that the journal lacks, or has with another label."""
    count = 0
    with sqlite3.connect(f"file:{out / JOURNAL}?mode=ro", uri=True) as journal:
        query = "SELECT label, by FROM edits WHERE frame = ? AND version = ?"
        for save in confirmed:
            row = journal.execute(query, (names[save.frame], save.version)).fetchone()
            found = row is not None and row[1] == save.by
            if found:
                found = np.array_equal(np.array(PIL.Image.open(io.BytesIO(row[0]))), save.label)
            count += not found
    return count


def behind(out: Path, names: list[str]) -> int:
    """Masks that are not the newest version."""
    count = 0
    with sqlite3.connect(f"file:{out / JOURNAL}?mode=ro", uri=True) as journal:
        query = "SELECT label FROM edits WHERE frame = ? ORDER BY version DESC LIMIT 1"
        for name in names:
            row = journal.execute(query, (name,)).fetchone()
            mask = read_mask(out / "masks" / f"{name}.png")
            if row is not None:
                newest = np.array(PIL.Image.open(io.BytesIO(row[0])))
                count += mask is None or not np.array_equal(mask, newest)
    return count


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--saves", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    saves, kills = (12, 1) if options.smoke else (options.saves, options.kills)
    rng = random.Random(options.seed)
    size = SMALL if options.smoke else (874, 1164)
    confirmed: list[Save] = []
    halves = stale = conflicts = 0
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data", Path(folder) / "out"
        synthesise(data, FRAMES, seed=1, workers=1, size=size)
        names = sorted(path.stem for path in (data / "masks").iterdir())
        for kill in range(kills):
            server, port = start(data, out)
            stale += behind(out, names)
            clients = [
                Client(f"client-{i}", port, options.seed + 1000 * kill + i, size, confirmed)
                for i in range(2)
            ]
            for client in clients:
                client.start()
            until = (kill + 1) * saves // kills
            while len(confirmed) < until and any(client.is_alive() for client in clients):
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.02))
            stop(server, signal.SIGKILL)
            for client in clients:
                client.join()
                conflicts += client.conflicts
            halves += sum(read_mask(path) is None for path in (out / "masks").glob("*.png"))
        server, _ = start(data, out)
        stale += behind(out, names)
        stop(server, signal.SIGTERM)
        missing = lost(out, names, confirmed)
    print(
        f"{kills} kills, {size[1]}x{size[0]}: {len(confirmed)} saves confirmed ({conflicts} others"
        f" refused as stale), {len(confirmed) - missing} found, {halves} half files, {stale} masks"
        " behind the journal after a restart"
    )
    return int(missing or halves or stale)


if __name__ == "__main__":
    sys.exit(main())
