"""`dashseg serve`: what it refuses, and how it ends."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from dashseg.cli.main import main

pytest.importorskip("uvicorn")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["small", "--host", "0.0.0.0"], "--token-file"),
        (["small", "--data", "frames"], "--data and --edits go together"),
        (["small", "--review", "suspects"], "need --data and --edits"),
        (["small", "--split", "val"], "need --data and --edits"),
        (["small", "--allow-host", "a.example:80"], "the name alone"),
        (["small", "--max-mb", "inf"], "--max-mb"),
        (["small", "--token-file", "none"], "none"),
        (["none", "--port", "0"], "no such model"),
        (["small", "--port", "70000"], "65535"),
    ],
)
def test_wrong_usage_is_one_line(capsys, arguments, said) -> None:
    assert main(["serve", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and said in error


@pytest.mark.parametrize(
    "text", ["", "short", "two words that are long", "ünïcödé-but-long-enough"]
)
def test_a_token_that_is_weak_is_refused(capsys, tmp_path, text) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    assert main(["serve", "small", "--token-file", str(path)]) == 2
    assert "openssl rand -hex 32" in capsys.readouterr().err


def test_a_taken_port_is_one_line(capsys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "small", "--port", str(port)]) == 2
    assert f"port {port} is taken" in capsys.readouterr().err


def test_a_missing_package_is_one_line_that_says_what_to_install() -> None:
    script = """
import sys
sys.modules["fastapi"] = None
from dashseg.cli.main import run
run(["serve", "small"])
"""
    # Not by `forks`: the error comes before anything slow is imported.
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == 2
    assert "pip install 'dashseg[serve]'" in ended.stderr and ended.stderr.count("\n") == 1


# A client in a thread of the server's process: it sends a request, and a signal once the network
# has the frame; the network then takes until the signal was handled.
SIGNALLED = """
import http.client, json, os, re, signal, sys, threading, time
model, signal_number, frame = sys.argv[1], int(sys.argv[2]), open(sys.argv[3], "rb").read()

from dashseg.cli.main import run
from dashseg.inference.torch_runtime import TorchRuntime
from dashseg.serving import server

handled, compute, bind = threading.Event(), TorchRuntime.__call__, server.bind
stop = server.Server._stop

def slowly(self, frames):
    os.kill(os.getpid(), signal_number)
    assert handled.wait(20)
    return compute(self, frames)

def stopping(self, number, frame):
    stop(self, number, frame)
    handled.set()

TorchRuntime.__call__, server.Server._stop = slowly, stopping

def bound(host, port):
    listening = bind(host, port)
    threading.Thread(target=ask, args=listening.getsockname()).start()
    return listening

def ask(host, port):
    connection = http.client.HTTPConnection(host, port)
    connection.request("POST", "/v1/segment", frame)
    answer = connection.getresponse()
    print(json.dumps([answer.status, json.loads(answer.read())["shares"]]))

server.bind = bound
run(["serve", model, "--port", "0"])
"""


@pytest.mark.parametrize(("number", "code"), [(15, 0), (2, 130)])
def test_a_signal_drains_what_has_begun(forks, tmp_path, model_directory, number, code) -> None:
    import PIL.Image

    frame = tmp_path / "frame.png"
    PIL.Image.new("RGB", (56, 40), (90, 90, 90)).save(frame)
    ended = forks.run("-c", SIGNALLED, model_directory, number, frame, cwd=tmp_path, timeout=60)
    assert ended.returncode == code, ended.stderr
    first, *rest = ended.stdout.splitlines()
    assert first.startswith("serving ") and "http://127.0.0.1:" in first
    status, shares = json.loads(rest[0])
    assert status == 200 and sum(shares.values()) == pytest.approx(1)
    assert "Traceback" not in ended.stderr
