"""Everything that only a GPU can show, in one run: is it right there, and how fast is it?

    python benchmarks/gpu.py --minutes 20 --out figures.json [--only PART ...]
    python benchmarks/gpu.py --smoke [--only PART ...]

First correctness (losses, gradients, labels and augmentation against the CPU, every recipe's step,
precisions, waits for the GPU, a full memory, NaN, kill and resume, several processes), then speed
and memory (training from a pack, the network by batch size, predict, evaluate). It needs PyTorch
with CUDA and dashseg's base dependencies; frames are drawn. Without a GPU it runs on the CPU.

Each part runs in a process of its own with a time limit: a crash, a hang or a full memory is
reported with its last lines, and the next part follows. Parts are ordered by value; they shrink, or
are skipped, when --minutes run out. --out is written after each part. Rerun with the same --out to
run the parts that have not passed yet; --again runs all. Prints each check and figure, then a table
of the parts; exit status 1 if a part failed.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from common import arguments

TAIL = 25  # last lines of a part that failed


class Part(NamedTuple):
    """A function, and its seconds: with less than `least` it is skipped, after `most` ended."""

    name: str
    function: str  # module.function of gpu_parts
    least: int
    most: int


PARTS = [
    Part(*entry)
    for entry in (
        ("machine", "inference.machine", 20, 90),
        ("network", "correct.network", 40, 150),
        ("losses", "correct.losses", 30, 120),
        ("waits", "training.waits", 40, 150),
        ("augmentation", "correct.augmentation", 40, 150),
        ("recipes", "training.recipes", 60, 240),
        ("failures", "training.failures", 40, 120),
        ("training", "speed.training", 60, 360),
        ("inference", "inference.network", 40, 150),
        ("resume", "processes.resume", 60, 180),
        ("precisions", "training.precisions", 60, 240),
        ("predict", "inference.predict", 40, 150),
        ("evaluate", "inference.evaluate", 30, 120),
        ("processes", "processes.several", 60, 180),
    )
]
NAMES = [part.name for part in PARTS]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="budget of all parts")
    parser.add_argument("--out", type=Path, help="JSON file of all checks and figures")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="PART", help=", ".join(NAMES))
    parser.add_argument("--again", action="store_true", help="also parts that have passed")
    parser.add_argument("--part", nargs=3, help="(internal) run a part: NAME FOLDER SECONDS")
    options = parser.parse_args()
    if options.part:
        name, work, seconds = options.part
        run_part(name, Path(work), float(seconds), options.smoke)
        return
    end = time.monotonic() + 60 * options.minutes
    found = earlier(options.out, options.smoke)
    with tempfile.TemporaryDirectory() as work:
        for part in PARTS:
            if part.name not in (options.only or NAMES):
                continue
            if found.get(part.name, {}).get("state") == "passed" and not options.again:
                print(f"{part.name}: passed before", flush=True)
                continue
            left = end - time.monotonic()
            limit = 10 * part.most if options.smoke else min(left, part.most)  # CPUs are slow
            if left < part.least and not options.smoke:
                report = {"state": "skipped", "why": f"{left:.0f} s left, needs {part.least}"}
            else:
                report = in_a_process(part, Path(work), limit, options.smoke)
            found[part.name] = report
            show(part.name, report)
            if options.out:
                write(options.out, {"smoke": options.smoke, "parts": found})
    summary(found)
    sys.exit(any(report["state"] in ("failed", "ended") for report in found.values()))


def earlier(out: Path | None, smoke: bool) -> dict[str, Any]:
    """The reports of an earlier run."""
    if out is None or not out.is_file():
        return {}
    content = json.loads(out.read_text())
    if content["smoke"] != smoke:
        sys.exit(f"{out} is of a run {'without' if smoke else 'with'} --smoke: name another --out")
    found: dict[str, Any] = content["parts"]
    return found


def write(out: Path, content: dict[str, Any]) -> None:
    """Whole or not at all."""
    temporary = out.with_name(f".{out.name}.tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    temporary.replace(out)


def in_a_process(part: Part, work: Path, seconds: float, smoke: bool) -> dict[str, Any]:
    """Run a part, and report what it found, also if it crashed or had to be ended."""
    log, start = work / f"{part.name}.log", time.monotonic()
    command = [sys.executable, __file__, *["--smoke"] * smoke]
    command += ["--part", part.name, str(work), f"{0.9 * seconds:.0f}"]
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            # Its own: a part that is ended while it compiles leaves half a file.
            env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(work / f"{part.name}-compiled")},
        )  # fmt: skip
        try:
            status: int | None = process.wait(max(1, seconds))
        except subprocess.TimeoutExpired:
            status = None
        finally:  # it and all processes that it started
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    results = work / f"{part.name}.jsonl"
    lines = results.read_text().splitlines() if results.is_file() else []
    entries = [json.loads(line) for line in lines if line.endswith("}")]
    checks = [entry for entry in entries if "check" in entry]
    good = status == 0 and checks and all(entry["ok"] for entry in checks)
    report: dict[str, Any] = {
        "state": "passed" if good else "ended" if status is None else "failed",
        "seconds": round(time.monotonic() - start, 1),
        "checks": checks,
        "figures": {entry["figure"]: entry["value"] for entry in entries if "figure" in entry},
        "notes": [entry["note"] for entry in entries if "note" in entry],
    }
    if status != 0:
        report["why"] = f"ended after {seconds:.0f} s" if status is None else f"exit {status}"
        report["tail"] = log.read_text(errors="replace").splitlines()[-TAIL:]
    return report


def run_part(name: str, work: Path, seconds: float, smoke: bool) -> None:
    """In the part's process."""
    from gpu_parts.bench import Bench

    part = PARTS[NAMES.index(name)]
    module, function = part.function.split(".")
    bench = Bench(work, smoke, seconds, work / f"{name}.jsonl")
    getattr(importlib.import_module(f"gpu_parts.{module}"), function)(bench)


def show(name: str, report: dict[str, Any]) -> None:
    print(f"\n{name}: {report['state']} {report.get('why', '')}", flush=True)
    for check in report.get("checks", []):
        print(f"  {'ok  ' if check['ok'] else 'FAIL'} {check['check']}: {check['text']}")
    for key, value in report.get("figures", {}).items():
        print(f"  {key}: {shown(value)}")
    for line in [*report.get("notes", []), *report.get("tail", [])]:
        print(f"  | {line}", flush=True)


def shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return f"{value:.4g}" if isinstance(value, float) and math.isfinite(value) else str(value)


def summary(found: dict[str, Any]) -> None:
    print("\n| part | state | checks | seconds |\n| --- | --- | ---: | ---: |")
    for name in NAMES:
        if name in found:
            report = found[name]
            checks = report.get("checks", [])
            good = sum(entry["ok"] for entry in checks)
            print(f"| {name} | {report['state']} | {good} of {len(checks)}"
                  f" | {report.get('seconds', 0)} |")  # fmt: skip


if __name__ == "__main__":
    main()
