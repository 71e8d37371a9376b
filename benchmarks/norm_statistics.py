"""Scores after few steps, with batch norm measured anew before validation, and without.

    python benchmarks/norm_statistics.py            # ten sets of 42 frames, 12 minutes
    python benchmarks/norm_statistics.py --smoke    # one set, seconds

Prints, for each set, val CE and mIoU after one and two epochs of recipe demo at 96×128.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

from dashseg.config import load_recipe
from dashseg.training import loop
from dashseg.training.run import train_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--smoke", action="store_true", help="one tiny set")
    smoke = parser.parse_args().smoke
    frames, size, sets = (20, "[32, 48]", 1) if smoke else (42, "[96, 128]", 10)
    measured = loop.MEASURED_STEPS
    print("set     without: CE (mIoU) of epochs 1, 2         with")
    for seed in range(sets):
        cells = []
        for steps in (0, measured):
            loop.MEASURED_STEPS = steps
            recipe = load_recipe(
                "demo",
                [
                    f"data.root=synthetic:{frames}:{seed}",
                    f"model.input.size={size}",
                    "training.epochs=2",
                    "training.loggers=[]",
                ],
            )
            with tempfile.TemporaryDirectory() as folder:
                run = train_run(recipe, Path(folder) / "run", say=lambda text: None)
                with run.metrics.open(newline="") as file:
                    rows = list(csv.DictReader(file))
            cells += [f"{float(r['val_loss']):9.3f} ({float(r['val_miou']):.3f})" for r in rows]
        print(f"{seed:3}", *cells, flush=True)


if __name__ == "__main__":
    main()
