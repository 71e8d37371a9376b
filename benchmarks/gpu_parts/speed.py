"""Training's speed and memory on the device, recipe by recipe."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from train_throughput import matrix_rate

from dashseg.config import Recipe
from dashseg.models import build_model
from dashseg.peak_memory import peak_bytes
from gpu_parts.bench import RECIPES, Bench

COMMA10K_FRAMES = 8911  # of comma10k's training split


def training(bench: Bench) -> None:
    """Images/s, memory, waiting and share of the matrix rate, of each recipe from a pack."""
    rates: dict[str, float] = {}
    first, *others = RECIPES
    ways: dict[str, tuple[str, list[str]]] = {
        first: (first, []),
        f"{first}, frames in memory": (first, ["data.placement=memory"]),
        f"{first}, frames in files": (first, ["data.placement=files"]),
        f"{first}, cudnn.benchmark": (first, []),
        **{name: (name, []) for name in others},
    }
    if bench.on_gpu:  # last: compiling takes a minute
        ways[f"{first}, compiled"] = first, ["training.compile=true"]
    for title, (name, changes) in ways.items():
        if bench.left() < (90 if "compiled" in title else 20) and not bench.smoke:
            bench.note(f"no time for {title}")
            continue
        with bench.attempt(title):
            torch.backends.cudnn.benchmark = "cudnn" in title
            figures = measured(bench, name, rates, *changes)
            bench.figure(title, figures)
            bench.check(title, figures["images_per_s"] > 0, "measured")
    bench.figure("matrix rate, TFLOP/s", {k: v / 1e12 for k, v in rates.items()})


def measured(bench: Bench, name: str, rates: dict[str, float], *changes: str) -> dict[str, Any]:
    if bench.on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    packed = name != "camvid11" and "data.placement=files" not in changes
    recipe = bench.recipe(name, "data.repeat=200", *changes, packed=packed)
    loop = bench.loop(recipe)
    batch_size, precision = recipe.training.batch_size, loop.plan.precision
    warm, steps, span = (1, 2, 0.0) if bench.smoke else (8, 10, 4.0)
    loop.train(warm)
    start = bench.clock()
    loop.train(steps)
    taken = bench.clock() - start
    if taken < span:  # enough steps for a figure
        steps = min(2000, math.ceil(steps * span / taken))
        start = bench.clock()
        loop.train(steps)
        taken = bench.clock() - start
    step_s = taken / steps
    batch = next(iter(loop.plan.train_batches)).to(bench.device)
    alone = bench.seconds_of(lambda: loop.step_on(batch), 1.0)
    prepared = bench.seconds_of(lambda: loop.as_input(loop.augmented(batch, 0)[0]), 0.5)
    if precision not in rates:
        large = 8192 if bench.on_gpu else 1024
        rates[precision] = matrix_rate(precision, 64 if bench.smoke else large)
    flop = training_flop(recipe)
    speed = batch_size / step_s
    return {
        "images_per_s": speed,
        "batch": batch_size,
        "steps": steps,
        "precision": precision,
        "input": recipe.augment.crop or recipe.model.input.size,
        "waiting": max(0.0, 1 - alone / step_s),  # against steps on one batch that is there
        "augmenting": prepared / step_s,
        "gflop_per_image": flop / 1e9,
        "of_matrix_rate": speed * flop / rates[precision],
        "epoch_of_8911_s": COMMA10K_FRAMES / speed,  # extrapolated from `steps`
        "gpu_peak_gb": torch.cuda.max_memory_allocated() / 1e9 if bench.on_gpu else None,
        "gpu_reserved_gb": torch.cuda.max_memory_reserved() / 1e9 if bench.on_gpu else None,
        "rss_peak_gb": peak_bytes() / 1e9,
    }


def training_flop(recipe: Recipe) -> int:
    """Of the network's forward and backward pass for one training sample."""
    network = build_model(recipe.model.model_copy(update={"weights": None})).to("meta")
    size = recipe.augment.crop or recipe.model.input.size
    assert size is not None
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(2, 3, *size, device="meta"))
    # Backward takes two products for each of forward's. The counter itself is wrong there for
    # grouped convolutions, a hundred times for `small`.
    return 3 * counter.get_total_flops() // 2
