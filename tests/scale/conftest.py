"""One Ray cluster of one core on this machine, and one S3 server, for all tests here."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from dashseg.errors import InputError

if not all(map(find_spec, ("ray", "pyarrow"))):  # without the extra "scale"
    collect_ignore_glob = ["test_*.py"]
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else Ray writes a token to the home folder
logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """What --cluster takes: this process is connected to it."""
    import ray

    ray.init(
        "local", num_cpus=1, include_dashboard=False, object_store_memory=80 << 20,
        log_to_driver=False, logging_level=logging.ERROR,
    )  # fmt: skip
    yield "auto"
    ray.shutdown()


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """--cluster does its work in this process: without Ray, but with all that is sent pickled.

    A list of one number, to change: how many processes died of each shard.
    """
    import pickle
    from contextlib import nullcontext
    from types import SimpleNamespace

    import pyarrow

    from dashseg.scale import cluster, spread

    deaths = [0]

    def tally(number: int) -> int:
        return deaths[0] + 1

    def work(
        ray: Any, make: Any, shards: Any, sizing: Any, tries: int, ordered: bool
    ) -> Iterator[Any]:
        remote = SimpleNamespace(begin=SimpleNamespace(remote=tally))
        actor = cluster._Actor(sizing.cores, [pickle.dumps(make)], cluster._Guard(remote, tries))
        for number, shard in enumerate(shards):
            table = pyarrow.table({"number": [number], "shard": [pickle.dumps(shard)]})
            made = pickle.loads(actor(table).to_pylist()[0]["made"])
            if isinstance(made, InputError):
                raise made
            yield number, made

    one_core = SimpleNamespace(nodes=lambda: [{"Alive": True, "Resources": {"CPU": 1.0}}])
    monkeypatch.setattr("ray.get", lambda value: value)
    monkeypatch.setattr(spread, "connected", lambda address: nullcontext(one_core))
    monkeypatch.setattr(spread, "work", work)
    return deaths


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """12 frames of noise in two folders, of two sizes; beside them what is no frame."""
    folder = tmp_path / "frames"
    for number in range(12):
        rng = np.random.default_rng(number)
        pixels = rng.integers(0, 256, (40 + 8 * (number % 2), 56, 3), np.uint8)
        path = folder / f"drive{number % 2}" / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels).save(path)
    (folder / "notes.md").write_text("not a frame")
    (folder / ".hidden.png").write_bytes(b"not a frame")
    return folder


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """URL of an empty bucket on a server of this machine."""
    server = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    thread = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    thread.start()
    host, port = thread.get_host_and_port()
    change = pytest.MonkeyPatch()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        change.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="fleet")
    yield "s3://fleet"
    change.undo()
    thread.stop()


Outputs = dict[str, bytes]


@pytest.fixture
def outputs() -> Callable[[Path], Outputs]:
    """outputs(folder) -> the bytes of each file, but for the records that verbs keep there."""

    def read(folder: Path) -> Outputs:
        found: dict[str, Any] = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*")}
        return {
            name: path.read_bytes()
            for name, path in found.items()
            if path.is_file() and not name.startswith((".dashseg", "_dashseg"))
        }

    return read
