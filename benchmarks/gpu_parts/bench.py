"""What the parts of gpu.py share: checks and figures, drawn frames, recipes and trainings."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import SMALL, TINY

from dashseg.config import Recipe, load_recipe
from dashseg.curate.pack import pack
from dashseg.data.sources import open_whole
from dashseg.images import encode_png
from dashseg.run_directory import RunDirectory
from dashseg.scenes import synthesise
from dashseg.training.augment import Draws
from dashseg.training.batches import Batch
from dashseg.training.loop import Loop
from dashseg.training.plan import make_plan, new_network, open_frames
from dashseg.training.processes import ALONE

RECIPES = (  # of src/dashseg/recipes, the most wanted figures first
    "comma10k-half", "real-time", "comma10k-full", "comma10k-strong", "small", "camvid11",
    "original", "demo", "camvid", "small-base",
)  # fmt: skip
# What lets a recipe train here: weights that are not at hand, and data other than the frames drawn.
FITTING = {
    "comma10k-full": ["model.weights=null"],
    "small-base": ["model.encoder.weights=null", "model.weights=small", "data.extra=[]"],
}
COMMA10K = (874, 1164)  # H, W


def say_nothing(text: str) -> None:
    """For what would tell a user."""


class Bench:
    """One part, in a process of its own.

    Args:
        work: a folder that all parts share.
        smoke: tiny sizes.
        seconds: the part's limit; it should shrink to fit.
        results: gets a line of JSON for each check and figure at once, so that a crash loses none.
    """

    def __init__(self, work: Path, smoke: bool, seconds: float, results: Path) -> None:
        self.work, self.smoke, self.results = work, smoke, results
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.end = time.monotonic() + seconds

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def left(self) -> float:
        """Seconds that the part may still take."""
        return self.end - time.monotonic()

    def write(self, entry: dict[str, Any]) -> None:
        with self.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def check(self, name: str, ok: bool, text: str) -> None:
        self.write({"check": name, "ok": bool(ok), "text": text})

    def figure(self, name: str, value: Any) -> None:
        self.write({"figure": name, "value": value})

    def note(self, text: str) -> None:
        """What was left out, and why."""
        self.write({"note": text})

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """An exception in the block is a failed check; what follows goes on."""
        try:
            yield
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            self.check(name, False, f"{type(error).__name__} at {where}: {str(error)[:600]}")
            del error
            if self.on_gpu:
                torch.cuda.empty_cache()

    def clock(self) -> float:
        """Seconds, when the device has done all that it was given."""
        if self.on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def seconds_of(self, work: Callable[[], object], least: float = 0.5) -> float:
        """Seconds of a call: the mean of as many as take `least` seconds, after two to warm up."""
        for _ in range(1 if self.smoke else 2):
            work()
        start, calls = self.clock(), 0
        while True:
            for _ in range(1 if self.smoke else 5):
                work()
                calls += 1
            taken = self.clock() - start
            if taken >= least or self.smoke:
                return taken / calls

    def scenes(self) -> Path:
        """Drawn scenes of comma10k's size, in its layout."""
        root = self.work / "scenes"
        if not root.is_dir():
            synthesise(root, 20 if self.smoke else 64, seed=0, size=self.size(COMMA10K),
                       workers=1 if self.smoke else None)  # fmt: skip
        return root

    def size(self, real: tuple[int, int]) -> tuple[int, int]:
        return SMALL if self.smoke else real

    def packed(self, recipe: Recipe) -> Path:
        """The scenes in a pack of the recipe's working size."""
        size, resize = recipe.model.input.size, recipe.model.input.resize
        assert size is not None
        out = self.work / f"pack-{size[0]}x{size[1]}-{resize}"
        if not out.is_dir():
            whole, splits = open_whole(recipe.data.model_copy(update={"root": str(self.scenes())}))
            pack(whole, out, splits, size=size, resize=resize, workers=1 if self.smoke else None)
        return out

    def camvid11(self) -> Path:
        """Noise with blocks of the 11 classes, in the layout that the recipe camvid11 expects."""
        root = self.work / "camvid11"
        if not root.is_dir():
            rng = np.random.default_rng(0)
            for number in range(10 if self.smoke else 40):
                split = "val" if number % 5 == 4 else "train"
                for folder in (split, f"{split}annot"):
                    (root / folder).mkdir(parents=True, exist_ok=True)
                label = rng.integers(0, 12, (9, 12), np.uint8).repeat(40, 0).repeat(40, 1)
                image = rng.integers(0, 256, (*label.shape, 3), np.uint8) // 4 * 3
                name = f"{number:03}.png"
                (root / split / name).write_bytes(encode_png(image))
                (root / f"{split}annot" / name).write_bytes(encode_png(label))
        return root

    def recipe(self, name: str, *changes: str, packed: bool = False) -> Recipe:
        """A recipe, on frames drawn here; tiny with --smoke."""
        fitting = [*FITTING.get(name, ()), "training.loggers=[]", "data.workers=0",
                   "training.checkpoint_minutes=null", "evaluation.run=false"]  # fmt: skip
        recipe = load_recipe(name, fitting)
        if self.smoke:
            own = recipe.model.encoder.name == "resnet18"  # `small` has weights of one width
            fitting += [c for c in TINY if own or not c.startswith(("model.enc", "model.aspp"))]
            if recipe.augment.crop is not None:
                fitting += ["augment.crop=[64, 64]"]
        else:
            fitting += ["data.workers=null"]
        recipe = load_recipe(name, [*fitting, *changes])
        if name == "camvid11":
            root = self.camvid11()
        else:
            root = self.packed(recipe) if packed else self.scenes()
        return load_recipe(name, [*fitting, f"data.root={root}", *changes])

    def loop(self, recipe: Recipe, device: torch.device | None = None) -> CountedLoop:
        """A training of the recipe that has not begun."""
        frames = open_frames(recipe)
        network = new_network(frames.recipe, frames.train.classes, say_nothing)
        plan = make_plan(frames, network, device or self.device, ALONE, say_nothing)
        loop = CountedLoop(plan, RunDirectory(Path("unused")))
        loop.model.train()
        return loop


class Enough(Exception):
    """All steps that were asked for are done."""


class CountedLoop(Loop):
    """dashseg's training, a number of steps at a time."""

    losses: list[torch.Tensor]
    steps: int

    def train(self, steps: int) -> list[torch.Tensor]:
        """Train on, and return the loss of each step, on the device."""
        self.losses, self.steps = [], steps
        with self.progress, suppress(Enough):
            while True:
                self.train_epoch()
                self.epoch, self.batch = self.epoch + 1, 0
        return self.losses

    def train_batch(self, batch: Batch) -> torch.Tensor:
        if len(self.losses) == self.steps:
            raise Enough
        self.losses.append(super().train_batch(batch))
        return self.losses[-1]

    def step_on(self, batch: Batch) -> torch.Tensor:
        """A step outside of an epoch."""
        return super().train_batch(batch)


@contextmanager
def full_float32() -> Iterator[None]:
    """Without TF32, which convolutions on NVIDIA's GPUs use by default."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def same_draws() -> None:
    """From now on draw noise on the CPU: a GPU's generator gives other numbers."""
    drawn = Draws.normal

    def normal(self: Draws, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        return drawn(self, shape, torch.device("cpu")).to(device)

    Draws.normal = normal  # type: ignore[method-assign]


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """‖found − expected‖ / ‖expected‖, in float64; NaN and infinity count as infinite."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    value = float((found - expected).norm() / expected.norm().clamp_min(1e-300))
    return value if np.isfinite(value) else float("inf")
