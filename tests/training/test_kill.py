"""kill -9 at any instant, then --resume: only the steps since the last checkpoint are redone."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dashseg.config import Recipe

# Trains a run whole; then trains others, killing their processes at random instants and going on,
# until there were enough kills. A child process is a fork of this one, which has only imported: a
# kill costs no start of Python.
_KILLER = """
import json, os, random, signal, sys, time
from pathlib import Path

from dashseg.config import load_recipe
from dashseg.training.loop import Loop
from dashseg.training.run import Finished, resume_run, train_run

folder, recipe, kills, seed = Path(sys.argv[1]), load_recipe(sys.argv[2]), *map(int, sys.argv[3:])
chance = random.Random(seed)


save = Loop.save


def save_and_die(loop, best=False):
    save(loop, best)
    if loop.batch > 0:  # the checkpoint is one within an epoch
        os.kill(os.getpid(), signal.SIGKILL)


def start(root, die_within_epoch=False):
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        log = (folder / "said.txt").open("a", buffering=1)
        os.dup2(os.open(folder / "stderr.txt", os.O_CREAT | os.O_APPEND | os.O_WRONLY), 2)
        say = lambda text: log.write(text + "\\n")
        if die_within_epoch:
            Loop.save = save_and_die
        resume_run(root, say=say) if root.exists() else train_run(recipe, root, say=say)
        code = 0
    except Finished:  # killed after its last checkpoint
        code = 0
    finally:
        os._exit(code)


begun = time.monotonic()
assert os.waitpid(start(folder / "whole"), 0)[1] == 0, (folder / "stderr.txt").read_text()
span = time.monotonic() - begun

# The first one dies where it is sure that the resume is within an epoch.
assert os.waitpid(start(folder / "run0", die_within_epoch=True), 0)[1] == signal.SIGKILL
number, killed = 0, 1
while True:
    root = folder / f"run{number}"
    child = start(root)
    end = time.monotonic() + (chance.uniform(0, span) if killed < kills else 3600)
    status = None
    while status is None and time.monotonic() < end:
        time.sleep(0.002)
        gone, code = os.waitpid(child, os.WNOHANG)
        status = code if gone else None
    if status is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed += 1
        continue
    assert status == 0, (folder / "stderr.txt").read_text()
    if killed == kills:
        break
    number += 1
print(json.dumps({"runs": number + 1, "killed": killed}))
"""


@pytest.mark.parametrize(("accumulate", "validate"), [(1, 1), (2, 2)])
def test_a_run_killed_at_random_instants_ends_like_one_never_killed(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], accumulate: int, validate: int, forks: Any
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        tiny_recipe(
            "model.encoder.width=0.125", "training.epochs=2", "training.ema_decay=0.9",
            "augment.flip=0.5", "augment.noise=0.05", "training.checkpoint_steps=2",
            f"training.accumulate={accumulate}", f"training.batch_size={4 // accumulate}",
            f"training.validate_every={validate}",
        ).to_yaml()
    )  # fmt: skip
    done = forks.run("-c", _KILLER, tmp_path, recipe, 5, accumulate, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    count = json.loads(done.stdout.splitlines()[-1])
    assert count["killed"] == 5
    whole = _ended(tmp_path / "whole")
    for number in range(count["runs"]):
        root = tmp_path / f"run{number}"
        _assert_same(_ended(root), whole)
        leftovers = [p.name for p in root.rglob("*") if ".tmp" in p.name or ".damaged" in p.name]
        assert not leftovers
    said = (tmp_path / "said.txt").read_text()
    assert "batches" in said.split("resuming", 1)[1]  # some within an epoch


def _ended(root):
    """All that a run leaves which does not depend on its speed."""
    checkpoint = torch.load(root / "checkpoints/last.ckpt", weights_only=True)
    with (root / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["images_per_s"]
    model = (root / "model/model.safetensors").read_bytes()
    states = ("model", "average", "optimizer", "epoch", "batch", "step")
    return {"rows": rows, "model": model, **{name: checkpoint[name] for name in states}}


def _assert_same(ours, theirs):
    if isinstance(theirs, torch.Tensor):
        assert torch.equal(ours, theirs)
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key in theirs:
            _assert_same(ours[key], theirs[key])
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            _assert_same(mine, other)
    else:
        assert ours == theirs
