"""A real server, killed while two people save: what was confirmed is there."""

from __future__ import annotations

import http.client
import io
import os
import re
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from dashseg.config import DataConfig
from dashseg.labels import COMMA10K
from dashseg.serving.desk import Desk, open_frames

from .conftest import png

SAVES, FRAMES, SIZE = 25, 4, (40, 56)
SERVER = """
import os, pathlib, sys
pathlib.Path("pid").write_text(str(os.getpid()))
from dashseg.cli import main
sys.exit(main(sys.argv[1:]))
"""
Confirmed = list[tuple[str, int, str, NDArray[np.uint8]]]  # frame, version, by, label
COLOURS = np.array([(64, 32, 32), (255, 0, 0), (128, 128, 96), (0, 255, 102), (204, 0, 255)])


class Server(threading.Thread):
    """`dashseg serve` in a process of its own, from start to end."""

    def __init__(self, forks: Any, folder: Path, model: Path) -> None:
        super().__init__()
        self.forks, self.folder, self.model = forks, folder, model
        self.printed = forks.folder / f"{forks.count + 1}.stdout"
        self.ended: subprocess.CompletedProcess[str] | None = None
        self.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_alive():
            self.stop(signal.SIGKILL)

    def run(self) -> None:
        command = ["serve", self.model, "--device", "cpu", "--port", 0]
        self.ended = self.forks.run(
            "-c", SERVER, *command, "--data", "data", "--edits", "out", cwd=self.folder
        )

    def connect(self) -> http.client.HTTPConnection:
        """Once it says where it listens."""
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up and self.is_alive():
            said = self.printed.read_text() if self.printed.exists() else ""
            if match := re.search(r"http://127\.0\.0\.1:(\d+)/desk/\n", said):
                return http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=60)
            time.sleep(0.01)
        raise AssertionError(f"the server did not start: {self.ended}")

    def stop(self, how: signal.Signals) -> int:
        os.kill(int((self.folder / "pid").read_text()), how)
        self.join(60)
        assert self.ended is not None
        return self.ended.returncode


def save_on(connection: http.client.HTTPConnection, name: str, confirmed: Confirmed) -> None:
    """Save one label after the other on the newest version, until the server is gone."""
    rng = np.random.default_rng(list(name.encode()))
    with suppress(OSError, http.client.HTTPException):
        while True:
            frame = int(rng.integers(FRAMES))
            path = f"/desk/api/frames/{frame}/label"
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            version = int(answer.headers["ETag"].strip('"'))
            label = rng.integers(0, 5, SIZE).astype(np.uint8)
            headers = {"If-Match": f'"{version}"'}
            connection.request("PUT", f"{path}?by={name}", png(label), headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                confirmed.append((f"000{frame}", version + 1, name, label))


def test_a_killed_server_loses_no_confirmed_save_and_leaves_no_half_mask(
    forks: Any, write_comma10k: Any, model_directory: Path, tmp_path: Path
) -> None:
    write_comma10k(tmp_path / "data", [f"000{frame}" for frame in range(FRAMES)])
    confirmed: Confirmed = []
    with Server(forks, tmp_path, model_directory) as server:
        clients = [
            threading.Thread(target=save_on, args=(server.connect(), name, confirmed))
            for name in ("Ann", "Bob")
        ]
        for client in clients:
            client.start()
        while len(confirmed) < SAVES and any(client.is_alive() for client in clients):
            time.sleep(0.001)
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    for client in clients:
        client.join()
    assert len(confirmed) >= SAVES
    assert {name for _, _, name, _ in confirmed} == {"Ann", "Bob"}
    masks = sorted((tmp_path / "out" / "masks").iterdir())
    assert [path.name for path in masks] == [f"000{frame}.png" for frame in range(FRAMES)]
    for path in masks:
        PIL.Image.open(path).load()

    frames = open_frames(DataConfig(root=str(tmp_path / "data")), "all", COMMA10K)
    with Desk(frames, tmp_path / "out", {}) as desk:
        exported = desk.export()["edits"]
    listed = {(edit["name"], edit["version"], edit["by"]) for edit in exported}
    assert listed.issuperset((name, version, by) for name, version, by, _ in confirmed)
    newest: dict[str, NDArray[np.uint8]] = {}
    with sqlite3.connect(tmp_path / "out" / ".dashseg-desk" / "journal.sqlite") as journal:
        rows = journal.execute("SELECT frame, version, label FROM edits ORDER BY version")
        labels = {row[:2]: np.array(PIL.Image.open(io.BytesIO(row[2]))) for row in rows}
    for name, version, _, label in confirmed:
        assert np.array_equal(labels[name, version], label)
    for (name, _), label in labels.items():
        newest[name] = label
    for name, label in newest.items():
        mask = np.array(PIL.Image.open(tmp_path / "out" / "masks" / f"{name}.png"))
        assert np.array_equal(mask, COLOURS[label])
