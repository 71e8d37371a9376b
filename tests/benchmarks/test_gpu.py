"""gpu.py's parts fail alone: a crash, a hang or a failed check is reported, and the next part runs.

A script stands for the parts' processes here; test_smoke.py runs real ones.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
STAND_IN = """
import json, os, signal, sys, time
from pathlib import Path

name, work = sys.argv[sys.argv.index("--part") + 1:][:2]
with (Path(work) / f"{name}.jsonl").open("w") as file:
    def write(**entry):
        print(json.dumps(entry), file=file, flush=True)

    write(figure="speed", value=2.5)
    write(check="first", ok=name != "wrong", text="0.1, at most 0.2")
    if name == "crash":
        print("the last words", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "raise":
        raise ValueError("a reason")
    if name == "hang":
        if os.fork() == 0:
            time.sleep(1000)
        (Path(work).parent / "hung").write_text(str(os.getpid()))
        time.sleep(1000)
    if name == "torn":
        file.write('{"check": "second", "o')
"""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("gpu")
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr(module, "__file__", str(script))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return module


def run(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, out: Path, *options: str
) -> tuple[int, dict[str, Any]]:
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(out), *options])
    with pytest.raises(SystemExit) as end:
        gpu.main()
    return int(end.value.code or 0), json.loads(out.read_text())["parts"]


def parts(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, *names: str, most: int = 60) -> None:
    monkeypatch.setattr(gpu, "PARTS", [gpu.Part(name, "none.none", 1, most) for name in names])
    monkeypatch.setattr(gpu, "NAMES", list(names))


def test_a_part_that_fails_is_reported_and_the_next_one_runs(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    parts(gpu, monkeypatch, "crash", "raise", "wrong", "torn", "good")
    status, found = run(gpu, monkeypatch, tmp_path / "out.json")
    assert status == 1
    assert {name: report["state"] for name, report in found.items()} == {
        "crash": "failed", "raise": "failed", "wrong": "failed", "torn": "passed", "good": "passed",
    }  # fmt: skip
    assert found["crash"]["tail"] == ["the last words"] and found["crash"]["why"] == "exit -11"
    assert found["raise"]["tail"][-1] == "ValueError: a reason"
    assert all(report["figures"] == {"speed": 2.5} for report in found.values())
    printed = capsys.readouterr().out
    assert "FAIL first" in printed and "| wrong | failed | 0 of 1 |" in printed


def test_a_part_that_hangs_is_ended_with_its_processes(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parts(gpu, monkeypatch, "hang", "good", most=3)
    status, found = run(gpu, monkeypatch, tmp_path / "out.json")
    assert (status, found["hang"]["state"], found["good"]["state"]) == (1, "ended", "passed")
    assert found["hang"]["checks"][0]["ok"]  # what it had found is kept
    group = int((tmp_path / "hung").read_text())
    for process in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = process.read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:
            continue  # it ended meanwhile
        assert int(its_group) != group or state == "Z"


def test_a_rerun_does_what_has_not_passed(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    parts(gpu, monkeypatch, "good", "wrong")
    _, first = run(gpu, monkeypatch, out, "--only", "good")
    assert list(first) == ["good"]
    first["good"]["seconds"] = -1
    gpu.write(out, {"smoke": False, "parts": first})
    status, second = run(gpu, monkeypatch, out)
    assert status == 1 and second["good"]["seconds"] == -1 and list(second) == ["good", "wrong"]
    _, third = run(gpu, monkeypatch, out, "--again")
    assert third["good"]["seconds"] >= 0


def test_parts_are_skipped_when_the_minutes_are_over(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parts(gpu, monkeypatch, "good")
    status, found = run(gpu, monkeypatch, tmp_path / "out.json", "--minutes", "0")
    assert status == 0
    assert found["good"]["state"] == "skipped" and "needs 1" in found["good"]["why"]


def test_figures_of_a_smoke_run_are_not_mixed_with_others(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    gpu.write(out, {"smoke": True, "parts": {}})
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(out)])
    with pytest.raises(SystemExit, match="is of a run with --smoke: name another --out"):
        gpu.main()
