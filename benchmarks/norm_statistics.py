"""Scores after few steps, with batch norm measured anew before validation, and without.

    python benchmarks/norm_statistics.py [--smoke]

Ten sets of 42 drawn frames, 12 minutes. Prints, for each set, val CE and mIoU after one and two
epochs of recipe demo at 96×128.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

from common import SMALL, TINY, arguments

from dashseg.config import load_recipe
from dashseg.scenes import synthesise
from dashseg.training import loop
from dashseg.training.run import train_run


def main() -> None:
    smoke = arguments(__doc__).parse_args().smoke
    frames, sets, epochs = (10, 1, 1) if smoke else (42, 10, 2)
    network = TINY if smoke else ("model.input.size=[96, 128]", "training.loggers=[]")
    measured = loop.MEASURED_STEPS
    print("set     without: CE (mIoU) of epochs 1, 2         with")
    for seed in range(sets):
        with tempfile.TemporaryDirectory() as name:
            scenes = Path(name) / "scenes"
            size, workers = (SMALL, 1) if smoke else ((874, 1164), None)
            synthesise(scenes, frames, seed, workers, size)
            cells = []
            for steps in (0, measured):
                loop.MEASURED_STEPS = steps
                changes = [
                    f"data.root={scenes}",
                    f"training.epochs={epochs}",
                    "training.loggers=[]",
                ]
                recipe = load_recipe("demo", [*changes, *network])
                run = train_run(recipe, Path(name) / f"run-{steps}", say=lambda text: None)
                with run.metrics.open(newline="") as file:
                    rows = list(csv.DictReader(file))
                cells += [f"{float(r['val_loss']):9.3f} ({float(r['val_miou']):.3f})" for r in rows]
        print(f"{seed:3}", *cells, flush=True)


if __name__ == "__main__":
    main()
