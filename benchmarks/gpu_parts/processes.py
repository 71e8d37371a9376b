"""Trainings in processes of their own: killed and resumed, and several at once."""

from __future__ import annotations

import csv
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import torch
from kill_and_resume import ended, same
from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy

from dashseg.run_directory import RunDirectory
from dashseg.training.plan import make_plan, new_network, open_frames
from dashseg.training.processes import ALONE
from gpu_parts.bench import Bench, CountedLoop, say_nothing

ONE_AND_TWO = 1e-3  # relative difference of losses: one process against two
# What depends on the number of processes is off (docs/training.md), and the weights stay.
STILL = ("optimizer.learning_rate=1e-9", "optimizer.schedule=constant", "optimizer.warmup=0",
         "model.aspp.dropout=0", "training.precision=float32",
         "loss.terms=[{name: cross_entropy}]")  # fmt: skip


def resume(bench: Bench) -> None:
    """Killed (kill -9) and resumed within an epoch: the same weights, bit for bit."""
    folder = bench.work / "resume"
    changes = ["training.epochs=2", "data.repeat=2" if bench.smoke else "data.repeat=5"]
    recipe = write_recipe(bench, folder, *changes, "training.checkpoint_steps=3")
    for name in ("whole", "again"):
        finish(deterministic(bench, folder, recipe, name))
    killed = deterministic(bench, folder, recipe, "killed")
    last = folder / "killed/checkpoints/last.ckpt"
    while not last.is_file() and killed.poll() is None and bench.left() > 0:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    bench.check("killed", killed.returncode == -signal.SIGKILL, f"exit {killed.returncode}")
    said = finish(deterministic(bench, folder, None, "killed"))
    where = [line for line in said.splitlines() if "resuming" in line]
    bench.check("resumed", bool(where), " ".join(where)[-200:])
    whole, again, resumed = (ended(folder / name) for name in ("whole", "again", "killed"))
    for name, state, what in (("trained twice", again, "the device repeats itself"),
                              ("killed and resumed", resumed, "nothing is lost")):  # fmt: skip
        for part in ("model", "average", "optimizer"):
            equal = same(state[part], whole[part])
            text = "bit for bit" if equal else "DIFFERS"
            bench.check(f"{name}, {part}", equal, f"{text}: {what}")
        # Sums over pixels are added in any order on a GPU, so a loss's last digits may differ.
        bench.figure(f"{name}, metrics equal", same(state["history"], whole["history"]))


def write_recipe(bench: Bench, folder: Path, *changes: str) -> Path:
    folder.mkdir()
    path = folder / "recipe.yaml"
    path.write_text(bench.recipe("demo", *changes).to_yaml())
    return path


def deterministic(
    bench: Bench, folder: Path, recipe: Path | None, name: str
) -> subprocess.Popen[str]:
    """`dashseg train`, or resume without a recipe, with deterministic kernels where there are."""
    start = ["--recipe", str(recipe), "--runs", str(folder), "--name", name]
    arguments = start if recipe else ["--resume", str(folder / name)]
    program = (
        "import sys, torch; torch.use_deterministic_algorithms(True, warn_only=True);"
        " from dashseg.cli.main import run; sys.argv[0] = 'dashseg'; run()"
    )
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, "train", *arguments,
         "--device", bench.device.type],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"},
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate()
    if process.returncode:
        said = [line for line in output.splitlines() if "error:" in line] or [output[-500:]]
        raise RuntimeError(f"exit {process.returncode}: {said[0]}")
    return output


def several(bench: Bench) -> None:
    """Two processes against one, and DDP's own path."""
    gpus = torch.cuda.device_count() if bench.on_gpu else 0
    folder = bench.work / "several"
    recipe = write_recipe(bench, folder, "training.epochs=1", "training.batch_size=4", *STILL)
    with bench.attempt("two processes"):
        device = "cuda" if gpus > 1 else "cpu"
        if gpus <= 1:
            bench.note("two processes run on the CPU with gloo: NCCL takes one GPU for each"
                       f" process, and there are {gpus}")  # fmt: skip
        rows = []
        for count in (1, 2):
            launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
            train = ["-m", "dashseg", "train", "--recipe", str(recipe), "--runs", str(folder),
                     "--name", str(count), "--device", device]  # fmt: skip
            command = [sys.executable, *(launch if count > 1 else ()), *train]
            finish(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                    text=True))  # fmt: skip
            with (folder / str(count) / "metrics.csv").open(newline="") as file:
                rows.append(list(csv.DictReader(file))[-1])
        for key in ("train_loss", "val_loss"):
            one, two = (float(row[key]) for row in rows)
            error = abs(one - two) / one
            name = f"two processes ({'nccl' if gpus > 1 else 'gloo'}), {key}"
            bench.check(name, error <= ONE_AND_TWO, f"{error:.1e}, at most {ONE_AND_TWO:.0e}")
    backend = "nccl" if bench.on_gpu else "gloo"
    with bench.attempt(f"DDP with {backend}, one process"):
        plain, wrapped = (trained(bench, backend if ddp else None) for ddp in (False, True))
        error = max(abs(a - b) / a for a, b in zip(plain, wrapped, strict=True))
        text = f"losses {error:.1e} from those without, at most {ONE_AND_TWO:.0e}"
        bench.check(f"DDP with {backend}, one process", error <= ONE_AND_TWO, text)


def trained(bench: Bench, backend: str | None) -> list[float]:
    """Losses of three steps; with a backend, through DDP."""
    recipe = bench.recipe("demo", "training.batch_size=4", *STILL)
    frames = open_frames(recipe)
    network = new_network(frames.recipe, frames.train.classes, say_nothing)
    plan = make_plan(frames, network, bench.device, ALONE, say_nothing)
    if backend is not None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": "0",
                       "WORLD_SIZE": "1", "LOCAL_RANK": "0"}  # fmt: skip
        strategy = DDPStrategy(process_group_backend=backend, gradient_as_bucket_view=True)
        fabric = Fabric(
            accelerator=bench.device.type, strategy=strategy, devices=1, precision=plan.precision
        )
        plan = dataclasses.replace(plan, fabric=fabric)
    loop = CountedLoop(plan, RunDirectory(Path("unused")))
    losses = [float(loss) for loss in loop.train(3)]
    if backend is not None:
        sizes = loop.over_processes(torch.ones((), device=bench.device), "sum")
        bench.check("all_reduce", float(sizes) == 1, f"over {backend}")
        torch.distributed.destroy_process_group()
    return losses
