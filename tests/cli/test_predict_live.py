"""`dashseg predict` on live input, as a program: pipes, signals, exit codes, refused options."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dashseg.cli import main

av = pytest.importorskip("av")


@contextmanager
def in_place_of(number: int, file: int) -> Iterator[None]:
    """An open file as the process's standard input (0) or output (1)."""
    before = os.dup(number)
    os.dup2(file, number)
    try:
        yield
    finally:
        os.dup2(before, number)
        os.close(before)


def frames(source: object) -> int:
    with av.open(source) as container:
        return sum(1 for _ in container.decode(video=0))


def test_sigterm_ends_a_whole_file(model_directory: Path, senders: Any, tmp_path: Path) -> None:
    out = tmp_path / "live.mkv"
    with senders.mjpeg(password="secret") as server:
        command = [sys.executable, "-m", "dashseg", "predict", model_directory, server.url]
        command += ["--out", out, "--json"]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # The file has a temporary name until it is whole.
        senders.wait_until(lambda: any(p.stat().st_size for p in tmp_path.rglob("*.mkv")), 60)
        program.send_signal(signal.SIGTERM)
        printed, said = program.communicate(timeout=60)
    assert program.returncode == 130
    report = json.loads(printed)
    assert report["interrupted"] and report["frames"] == frames(str(out)) >= 1
    assert b"secret" not in printed + said and b"hidden" not in printed + said


def test_standard_input_goes_to_standard_output_and_messages_to_stderr(
    model_directory: Path,
    film: Callable[[Path, int], None],
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    clip = tmp_path / "a.ts"
    film(clip, 5)
    with clip.open("rb") as file, in_place_of(0, file.fileno()):
        assert main(["predict", str(model_directory), "-", "--out", "-", "--json"]) == 0
    video, said = capfdbinary.readouterr()
    report = json.loads(said.splitlines()[-1])
    assert report["frames"] == frames(io.BytesIO(video)) >= 1
    assert report["frames"] + report["dropped"] == 5
    assert list(tmp_path.iterdir()) == [clip]


def test_a_reader_that_leaves_ends_it(
    model_directory: Path, senders: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    start: list[bytes] = []
    read, write = os.pipe()

    def leave() -> None:
        start.append(os.read(read, 4))
        os.close(read)

    reader = threading.Thread(target=leave)
    reader.start()
    with senders.mjpeg() as server, in_place_of(1, write):
        os.close(write)
        code = main(["predict", str(model_directory), server.url, "--out", "-"])
    reader.join()
    assert code == 0 and start == [b"\x1aE\xdf\xa3"]  # Matroska
    said = capsys.readouterr()
    assert "segmented into standard output" in said.err and said.out == ""


def test_a_connection_that_is_lost_for_good_is_a_problem(
    model_directory: Path, senders: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "live.mkv"
    with senders.mjpeg(per_connection=5) as server:
        options = ["--out", str(out), "--reconnects", "0"]
        assert main(["predict", str(model_directory), server.url, *options]) == 1
    said = capsys.readouterr()
    assert f"segmented into {out}" in said.out and "0 reconnects" in said.out
    assert f"ended: http://127.0.0.1:{server.port}/…: the stream ended" in said.err
    assert frames(str(out)) >= 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--out", "a.mkv", "--every", "2"], "--every does not go with live input"),
        (["--out", "a.mkv", "--start", "1"], "--start does not go with live input"),
        (["--out", "a.mkv", "--min-area", "3"], "--min-area does not go with live input"),
        (["--out", "a.mkv", "--probabilities"], "--probabilities does not go with live input"),
        (["--out", "a.mkv", "--no-audio"], "--no-audio does not go with live input"),
        (["--out", "a.mkv", "--workers", "2"], "--workers does not go with live input"),
        (["--out", "a.mkv", "--batch", "2"], "--batch does not go with live input"),
        (["--out", "a.mkv", "--masks", "m"], "--masks does not go with live input"),
        (["--out", "seen"], "--out seen: of live input, a video's name"),
        (["--out", "a.mkv", "--end", "0"], "--end 0: seconds after the first frame"),
        (["--out", "a.mkv", "--codec", "none"], "--codec none: not there"),
        (["--out", "a.mkv"], "tcp://127.0.0.1:1: Connection refused"),
        (["b.mp4", "--out", "a.mkv"], "2 inputs: live input comes alone"),
    ],
)
def test_bad_input_is_one_line_without_the_password(
    model_directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    url = "tcp://user:secret@127.0.0.1:1"
    assert main(["predict", str(model_directory), url, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert says in error and "secret" not in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [["--show"], ["--reconnects", "0"]])
def test_options_of_live_input_alone_are_errors_elsewhere(
    model_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    arguments = [str(tmp_path), "--out", str(tmp_path / "out"), *option]
    assert main(["predict", str(model_directory), *arguments]) == 2
    assert "--show and --reconnects are for live input" in capsys.readouterr().err
