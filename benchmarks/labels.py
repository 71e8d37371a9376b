"""Labels at a frame's size from logits at stride 4: time, and memory beyond the logits'.

python benchmarks/labels.py [--rounds 15]

Five classes, 110×146 -> 874×1164, regions some 64 pixels wide: dashseg's way against all logits at
full size and then their argmax, in PyTorch; each in a process of its own, in turn.
"""

import argparse
import statistics
import subprocess
import sys

CODE = """
import sys, time
import numpy as np, torch
from torch.nn import functional as F
from dashseg.bench.worker import peak_bytes
from dashseg.inference.upsampling import label_at

def full(size, logits):
    enlarged = F.interpolate(torch.from_numpy(logits)[None], size=size, mode="bilinear")[0]
    return enlarged.argmax(0).to(torch.uint8).numpy()

coarse = torch.randn(1, 5, 8, 10, generator=torch.Generator().manual_seed(0))
logits = F.interpolate(4 * coarse, size=(110, 146), mode="bicubic")[0].numpy().copy()
way = {"dashseg": label_at, "all logits": full}[sys.argv[1]]
way((60, 80), logits[:, :40, :50].copy())
before = peak_bytes()
label = way((874, 1164), logits)
memory = peak_bytes() - before
start = time.process_time()
way((874, 1164), logits)
print(1e3 * (time.process_time() - start), memory / 1e6, int(label.sum()))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    figures: dict[str, list[list[float]]] = {"dashseg": [], "all logits": []}
    for _ in range(options.rounds):
        for way, seen in figures.items():
            run = subprocess.run(
                [sys.executable, "-c", CODE, way], check=True, capture_output=True, text=True
            )
            seen.append([float(value) for value in run.stdout.split()])
    assert len({entry[2] for seen in figures.values() for entry in seen}) == 1  # one label
    for way, seen in figures.items():
        for name, unit, column in (("processor time", "ms", 0), ("memory", "MB", 1)):
            values = [entry[column] for entry in seen]
            print(
                f"{way:10} {name:14} median {statistics.median(values):.1f} {unit}"
                f" ({min(values):.1f}-{max(values):.1f})"
            )


if __name__ == "__main__":
    main()
