"""kill -9 a real `dashseg train` at random instants and go on with --resume, again and again.

python benchmarks/kill_and_resume.py [--kills N] [--seed N]

One run is trained whole. Others are killed, at an instant drawn anew each time between the start
of Python and the end of the training, and gone on with, until there were enough kills; all must end
with the same weights, optimiser state and metrics, bit for bit. Every process is a fresh
`dashseg train`, on the CPU; the network is the recipe's, frames are small.
"""

import argparse
import csv
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from dashseg.scenes import synthesise

RECIPE = (
    "model.input.size=[64, 96]", "model.aspp.channels=32", "training.batch_size=4",
    "training.epochs=3", "training.checkpoint_steps=2", "evaluation.run=false",
    "augment.noise=0.05",
)  # fmt: skip
NOT_REPEATED = "images_per_s"


def begin(root: Path, scenes: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dashseg", "train"]
    if root.exists():
        command += ["--resume", str(root)]
    else:
        command += ["--recipe", "demo", "--data", str(scenes), "--name", root.name]
        command += ["--runs", str(root.parent)]
        command += [part for change in RECIPE for part in ("--set", change)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(root: Path) -> dict[str, Any]:
    state = torch.load(root / "checkpoints/last.ckpt", weights_only=True)
    with (root / "metrics.csv").open(newline="") as file:
        rows = [{k: v for k, v in r.items() if k != NOT_REPEATED} for r in csv.DictReader(file)]
    parts = ("state_dict", "current_model_state", "averaging_state", "optimizer_states")
    return {"rows": rows, **{part: state[part] for part in parts}}


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, torch.Tensor):
        return torch.equal(ours, theirs)
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return bool(ours == theirs)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthesise(folder / "scenes", 20, seed=5, size=(109, 145))
        start = time.monotonic()
        whole = begin(folder / "whole", folder / "scenes")
        output, _ = whole.communicate()
        if whole.returncode:
            sys.exit(output)
        span = time.monotonic() - start
        wanted = ended(folder / "whole")
        killed, number, places, wrong = 0, 0, [], 0
        while killed < options.kills:
            root = folder / f"run{number}"
            while True:
                process = begin(root, folder / "scenes")
                delay = chance.uniform(0, span) if killed < options.kills else None
                try:
                    output, _ = process.communicate(timeout=delay)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    output, _ = process.communicate()
                    killed += 1
                    print(f"kill {killed} after {delay:.1f} s", flush=True)
                    continue
                finally:
                    places += [line for line in output.splitlines() if "going on with" in line]
                if process.returncode and "epochs are done" not in output:
                    sys.exit(output)
                break
            good = same(ended(root), wanted)
            wrong += not good
            print(f"{root.name}: {'the same' if good else 'ANOTHER END'}", flush=True)
            number += 1
    within = sum("batches" in place for place in places)
    print(
        f"{killed} kills, {number} runs, {wrong} with another end than the one never killed;"
        f" resumed {len(places)} times from a checkpoint, {within} of them within an epoch"
    )
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
