"""Kill a real `dashseg train` at random instants and resume it, again and again.

    python benchmarks/kill_and_resume.py [--kills 24] [--seed 0] [--smoke]

One run is trained whole. Others are killed (kill -9) at an instant drawn anew each time between
the start of Python and the end of the training, and resumed, until there were enough kills; all
must end with the same weights, optimiser state and metrics, bit for bit. Every process is a fresh
`dashseg train` on the CPU; the network is the recipe's, frames are small. Prints how many runs
ended otherwise, and how many resumed within an epoch; exit status 1 if one ended otherwise.
"""

from __future__ import annotations

import csv
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from common import SMALL, TINY, arguments

from dashseg.scenes import synthesise

RECIPE = (
    "model.input.size=[64, 96]", "model.aspp.channels=32", "training.batch_size=4",
    "training.epochs=3", "training.checkpoint_steps=2", "evaluation.run=false",
    "augment.noise=0.05",
)  # fmt: skip
NOT_REPEATED = "images_per_s"


def begin(root: Path, scenes: Path, recipe: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dashseg", "train"]
    if root.exists():
        command += ["--resume", str(root)]
    else:
        command += ["--recipe", "demo", "--data", str(scenes), "--name", root.name]
        command += ["--runs", str(root.parent)]
        command += [part for change in recipe for part in ("--set", change)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(root: Path) -> dict[str, Any]:
    """The run's last checkpoint and its metrics, but for the speed, which no run repeats."""
    state = torch.load(root / "checkpoints/last.ckpt", weights_only=True)
    with (root / "metrics.csv").open(newline="") as file:
        rows = [{k: v for k, v in r.items() if k != NOT_REPEATED} for r in csv.DictReader(file)]
    return {**state, "history": rows}


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, torch.Tensor):
        return torch.equal(ours, theirs)
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return bool(ours == theirs)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    recipe = (*RECIPE, *TINY, "training.epochs=1") if options.smoke else RECIPE
    kills = 1 if options.smoke else options.kills
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = folder / "scenes"
        synthesise(scenes, 10 if options.smoke else 20, seed=5, workers=1, size=SMALL)
        start = time.monotonic()
        whole = begin(folder / "whole", scenes, recipe)
        output, _ = whole.communicate()
        if whole.returncode:
            sys.exit(output)
        span = time.monotonic() - start
        wanted = ended(folder / "whole")
        killed, number, wrong = 0, 0, 0
        resumed: list[str] = []  # what each resumed training said about where it resumed
        while killed < kills:
            root = folder / f"run{number}"
            while True:
                process = begin(root, scenes, recipe)
                delay = chance.uniform(0, span) if killed < kills else None
                try:
                    output, _ = process.communicate(timeout=delay)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    output, _ = process.communicate()
                    killed += 1
                    print(f"kill {killed} after {delay:.1f} s", flush=True)
                    continue
                finally:
                    resumed += [line for line in output.splitlines() if "resuming" in line]
                if process.returncode and "epochs are done" not in output:
                    sys.exit(output)
                break
            good = same(ended(root), wanted)
            wrong += not good
            print(f"{root.name}: {'the same' if good else 'ANOTHER END'}", flush=True)
            number += 1
    within = sum("batches" in line for line in resumed)
    print(
        f"{killed} kills, {number} runs, {wrong} with another end than the one never killed;"
        f" resumed {len(resumed)} times from a checkpoint, {within} of them within an epoch"
    )
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
