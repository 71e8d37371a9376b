"""Memory that the loss at full size takes beyond logits and labels: plain PyTorch's against ours.

python benchmarks/loss_memory.py

Cross-entropy of a batch of logits at output stride 8, enlarged to the label's size, forward and
backward, float32. On a CPU the peak is that of the process, less what it had before.
"""

import json
import resource
import subprocess
import sys

import torch
from torch.nn import functional as F

from dashseg.config import LossConfig
from dashseg.training.losses import build_loss

CASES = ((8, 5, 437, 582), (16, 5, 437, 582), (8, 5, 874, 1164), (8, 11, 360, 480))


def peak() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def step(way: str, count: int, classes: int, height: int, width: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = -(-height // 8), -(-width // 8)
    logits = torch.randn(count, classes, *size, device=device, requires_grad=True)
    label = torch.randint(0, classes, (count, height, width), device=device)
    if way == "plain":
        full = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
        loss = F.cross_entropy(full, label, ignore_index=255)
    else:
        loss = build_loss(LossConfig(), None)(logits, label)
    loss.backward()


def measure(way: str, shape: tuple[int, ...]) -> int:
    step(way, 1, 2, 32, 32)  # what the library itself takes
    count, _, height, width = shape
    labels = count * height * width * 8  # int64
    before = peak()
    step(way, *shape)
    return peak() - before - labels


def main() -> None:
    if len(sys.argv) > 1:
        print(measure(sys.argv[1], tuple(json.loads(sys.argv[2]))))
        return
    print("| batch × classes × size | full-size logits | plain | dashseg | ratio |")
    for shape in CASES:
        count, classes, height, width = shape
        found = {}
        for way in ("plain", "dashseg"):
            command = [sys.executable, __file__, way, json.dumps(shape)]
            found[way] = int(subprocess.run(command, capture_output=True, check=True).stdout)
        full = 4 * count * classes * height * width
        print(
            f"| {count} × {classes} × {height}×{width} | {full / 1e6:.0f} MB"
            f" | {found['plain'] / 1e6:.0f} MB | {found['dashseg'] / 1e6:.0f} MB"
            f" | {found['plain'] / found['dashseg']:.1f} |"
        )


if __name__ == "__main__":
    main()
