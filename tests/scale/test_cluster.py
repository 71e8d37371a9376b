"""How many actors a cluster holds, and what is said where none answers."""

from __future__ import annotations

import json
import socket
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import yaml

from dashseg.errors import InputError
from dashseg.scale.cluster import Sizing, connected, size


def nodes(*resources: dict[str, float]) -> Any:
    """Stands for Ray: the machines of a cluster that nobody has here."""
    return SimpleNamespace(nodes=lambda: [{"Alive": True, "Resources": r} for r in resources])


def test_an_actor_for_each_core() -> None:
    ray = nodes({"CPU": 4.0}, {"CPU": 8.0}, {"memory": 1e9})
    assert size(ray, "auto", None) == Sizing(cores=1, gpus=0, actors=12)
    assert size(ray, "cpu", 3) == Sizing(cores=3, gpus=0, actors=3)


def test_an_actor_for_each_gpu_with_its_share_of_the_cores() -> None:
    ray = nodes({"CPU": 16.0, "GPU": 2.0}, {"CPU": 24.0, "GPU": 4.0}, {"CPU": 64.0})
    assert size(ray, "auto", None) == Sizing(cores=6, gpus=1, actors=6)
    assert size(ray, "cpu", None) == Sizing(cores=1, gpus=0, actors=104)


@pytest.mark.parametrize(("device", "cores"), [("cuda", None), ("cpu", 8)])
def test_no_machine_is_large_enough(device: str, cores: int | None) -> None:
    with pytest.raises(InputError, match="no machine of the cluster has"):
        size(nodes({"CPU": 4.0}), device, cores)


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:port", "ray://127.0.0.1:10001"])
def test_an_address_that_is_none(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    not_connected(monkeypatch)
    with pytest.raises(InputError, match=f"--cluster {address}: "), connected(address):
        pass


def test_nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    not_connected(monkeypatch)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(InputError, match="no Ray cluster answers"), connected(f"127.0.0.1:{port}"):
        pass


def test_auto_starts_ray_here_where_the_noted_cluster_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray
    import ray._private.services as services

    not_connected(monkeypatch)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    begun: list[str] = []
    monkeypatch.setattr(ray, "init", lambda address, **_: begun.append(address))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(services, "find_bootstrap_address", lambda _: gone)
    with connected("auto"):
        pass
    assert begun == ["local"]


def test_what_ray_says_of_dead_machines_is_not_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ray._private.worker import print_to_stdstream

    def say(line: str) -> None:
        print_to_stdstream({"lines": [line], "pid": "raylet", "is_err": False}, ignore_prefix=False)

    not_connected(monkeypatch)
    monkeypatch.setattr("ray.init", lambda *given, **options: None)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setattr("dashseg.scale.cluster._own_cluster", lambda: None)
    with connected("auto"):
        say("A node has been marked dead.")
    assert capsys.readouterr().out == ""
    # The program that called dashseg uses Ray further, and sees its messages again.
    say("Memory is low.")
    assert "Memory is low." in capsys.readouterr().out


def not_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process, whatever other tests have."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)


def test_the_cluster_file_of_the_docs_fits_rays_schema() -> None:
    schema = files("ray").joinpath("autoscaler/ray-schema.json").read_text()
    page = (Path(__file__).parents[2] / "docs/cluster.md").read_text("utf-8")
    block = page.split("```yaml\n# cluster.yaml\n")[1].split("```")[0]
    jsonschema.validate(yaml.safe_load(block), json.loads(schema))
