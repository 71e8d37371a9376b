"""Training on the device: every recipe's step, precisions, waits and failures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

from dashseg.config import Recipe
from dashseg.errors import InputError
from dashseg.training.loop import Loop
from dashseg.training.run import train_run
from gpu_parts.bench import (
    RECIPES,
    Bench,
    CountedLoop,
    full_float32,
    same_draws,
    say_nothing,
)

STEP = 1e-3  # relative error of a step's loss, CPU against device, both in float32
GRADIENT = 2e-2  # of its gradient's norm: batch norm over two frames enlarges rounding


def recipes(bench: Bench) -> None:
    """One step of every recipe: in float32 as on the CPU, and as it stands."""
    same_draws()
    for name in RECIPES:
        with bench.attempt(f"{name}, float32"):
            recipe = bench.recipe(
                name, "training.batch_size=2", "training.precision=float32",
                "model.aspp.dropout=0", "training.ema_decay=null", "data.placement=memory",
            )  # fmt: skip
            with full_float32():
                (loss, norm), (true, expected) = (
                    first_step(bench.loop(recipe, device))
                    for device in (bench.device, torch.device("cpu"))
                )
            errors = abs(loss - true) / true, abs(norm - expected) / expected
            bench.check(f"{name}, float32", errors[0] <= STEP and errors[1] <= GRADIENT,
                        f"loss {errors[0]:.1e}, gradient's norm {errors[1]:.1e}, at most"
                        f" {STEP:.0e} and {GRADIENT:.0e}")  # fmt: skip
        with bench.attempt(f"{name}, as it stands"):
            loop = bench.loop(bench.recipe(name))
            loss, _ = first_step(loop)
            finite = all(bool(p.isfinite().all()) for p in loop.network.parameters())
            bench.check(f"{name}, as it stands", math.isfinite(loss) and finite,
                        f"loss {loss:.3f} in {loop.plan.precision}, batch"
                        f" {loop.settings.batch_size}")  # fmt: skip
            del loop


def first_step(loop: CountedLoop) -> tuple[float, float]:
    """The loss of one step, and the norm of the gradients."""
    norms: list[torch.Tensor] = []
    step = loop.optimizer_step

    def noted() -> None:
        found = [p.grad.norm() for p in loop.network.parameters() if p.grad is not None]
        norms.append(torch.stack(found).norm())
        step()

    loop.optimizer_step = noted  # type: ignore[method-assign]
    (loss,) = loop.train(1)
    return float(loss), float(norms[0])


def precisions(bench: Bench) -> None:
    """A few steps in every precision, and compiled: losses near to those of float32."""
    steps = 3 if bench.smoke else 20
    ways: dict[str, list[str]] = {
        "float32": [],
        "bfloat16": [],
        "float16": [],
        "compile": ["training.compile=true"],
    }
    losses: dict[str, list[float]] = {}
    for name, changes in ways.items():
        if name == "float16" and not bench.on_gpu:
            bench.note("float16 trains on GPUs only")
            continue
        with bench.attempt(name):
            precision = "float32" if name == "compile" else name
            recipe = bench.recipe(
                "comma10k-half", *changes, f"training.precision={precision}", "data.repeat=20",
                "training.batch_size=4", "model.aspp.dropout=0",
            )  # fmt: skip
            loop = bench.loop(recipe)
            losses[name] = [float(loss) for loss in loop.train(steps)]
            mean, whole = (sum(x) / steps for x in (losses[name], losses["float32"]))
            error = abs(mean - whole) / whole
            bench.check(name, error <= 0.1, f"mean loss {mean:.4f}, {error:.1%} from float32's, at"
                        " most 10 %")  # fmt: skip
    bench.figure("losses", losses)


EVERYTHING = (  # but bonnets, which look at the labels and wait
    "augment.flip=0.5", "augment.scale=[0.5, 2]", "augment.rotate=10", "augment.distort.share=1",
    "augment.dropout.share=1", "augment.brightness=0.3", "augment.contrast=0.3",
    "augment.saturation=0.3", "augment.hue=0.1", "augment.gamma=[0.7, 1.5]", "augment.noise=0.05",
    "augment.blur=0.5", "augment.night.share=0.5", "augment.rain.share=0.5",
    "augment.fog.share=0.5",
)  # fmt: skip


@contextmanager
def no_waiting(bench: Bench) -> Iterator[None]:
    """An error where the CPU waits for the GPU."""
    if bench.on_gpu:
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if bench.on_gpu:
            torch.cuda.set_sync_debug_mode("default")


def waits(bench: Bench) -> None:
    """Steps of training, and the network of predict, during which the CPU never waits."""
    if not bench.on_gpu:
        bench.note("a CPU does not wait for itself: this shows only that the code runs")
    terms = (
        "["
        + ", ".join(f"{{name: {n}}}" for n in ("cross_entropy", "ohem", "focal", "lovasz", "dice"))
        + "]"
    )
    ways: dict[str, Sequence[str]] = {
        "recipe, frames on the GPU": [],
        "recipe, frames in memory": ["data.placement=memory"],
        "every loss": [f"loss.terms={terms}", "loss.class_weights=[1, 4, 1, 2, 1]"],
        "deep supervision": ["loss.auxiliary=0.4"],
        "every augmentation": EVERYTHING,
    }
    for name, changes in ways.items():
        with bench.attempt(f"training, {name}"):
            loop = bench.loop(
                bench.recipe("comma10k-half", "data.repeat=20", *changes, packed=True)
            )
            batches = iter(loop.plan.train_batches)
            for step in range(4):
                batch = next(batches)  # made ahead by a thread, which may wait
                if step == 2:
                    bench.clock()
                with no_waiting(bench) if step >= 2 else nullcontext():
                    loss = loop.step_on(batch.to(bench.device))
                    loop.loss_sum += loss
                    loop.finite.note(loss, loop.step, 0)
            batches.close()  # type: ignore[attr-defined]
            bench.check(f"training, {name}", math.isfinite(float(loss)), "no wait in two steps")
    with bench.attempt("inference"):
        import numpy as np

        from dashseg.inference import load

        segmenter = load("small", device=bench.device.type, half=True)
        frames = np.zeros((2, 96, 128, 3), np.uint8)
        for _ in range(2):  # the first call compares precisions, and waits
            segmenter.runtime(frames)
        with no_waiting(bench):
            segmenter.runtime(frames)
        bench.check("inference", True, "no wait in a call of the network, copy to the GPU included")


def failures(bench: Bench) -> None:
    """Memory that is full, and a loss that is NaN: our messages, and a process that goes on."""
    root = bench.work / "failures"
    small = bench.recipe("demo", "training.batch_size=2", "training.epochs=1")
    with bench.attempt("out of memory"):
        before = Loop.train_batch
        huge = small
        if bench.on_gpu:
            total = torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, 3e9 / total))
            huge = bench.recipe("comma10k-half", "training.batch_size=48", "training.epochs=1")
        else:
            bench.note("out of memory is simulated: a CPU's memory is not filled")

            def full(*_: object) -> None:
                raise torch.OutOfMemoryError("simulated")

            Loop.train_batch = full  # type: ignore[assignment,method-assign]
        try:
            said = refused(huge, root / "full", bench.device.type)
        finally:
            Loop.train_batch = before  # type: ignore[method-assign]
        bench.check("out of memory", "memory is full" in said, said)
        if bench.on_gpu:
            held = torch.cuda.memory_allocated() / 1e6
            bench.check("out of memory, released", held < 500, f"{held:.0f} MB are still held")
            said = infer_too_much()
            bench.check("out of memory, predict", "memory is full" in said, said)
            torch.cuda.set_per_process_memory_fraction(1.0)
        said = refused(small, root / "after", bench.device.type)
        bench.check("training after it", said == "", said or "trains in the same process")
    with bench.attempt("NaN"):
        wild = bench.recipe(
            "demo", "training.epochs=20", "optimizer.learning_rate=1e30",
            "optimizer.schedule=constant", "optimizer.warmup=0", "training.gradient_clip=null",
            "training.batch_size=2",
        )  # fmt: skip
        said = refused(wild, root / "nan", bench.device.type)
        bench.check("NaN", "became NaN or infinite at step" in said, said)


def refused(recipe: Recipe, root: Path, device: str) -> str:
    """What train says when it stops; "" if it does not."""
    try:
        train_run(recipe, root, say=say_nothing, device=device)
    except InputError as error:
        return str(error)
    return ""


def infer_too_much() -> str:
    import numpy as np

    from dashseg.inference import load

    try:
        load("small", device="cuda").runtime(np.zeros((256, 874, 1164, 3), np.uint8))
    except InputError as error:
        return str(error)
    return ""
