"""Memory that the loss at full size takes beyond logits and labels: plain PyTorch's against ours.

    python benchmarks/loss_memory.py [--smoke]

A batch of logits at output stride 8, enlarged to the label's size, forward and backward, float32:
cross-entropy in several sizes, then the other losses in the first of them. Plain is the whole batch
enlarged at once, and PyTorch's or kornia's loss over it. Prints a table in Markdown: the memory of
both ways, its ratio, and the ratio of their times (ours / plain). On a CPU the peak is that of the
process, less what it had before.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable

import kornia.losses
import torch
from common import arguments
from torch import Tensor
from torch.nn import functional as F

from dashseg.config import LossConfig
from dashseg.peak_memory import peak_bytes
from dashseg.training.losses import build_loss

Shape = tuple[int, int, int, int]  # frames, classes, H, W
WAYS = "plain", "dashseg"
CASES: tuple[Shape, ...] = (
    (8, 5, 437, 582),
    (16, 5, 437, 582),
    (8, 5, 874, 1164),
    (8, 11, 360, 480),
)


def hard_examples(logits: Tensor, label: Tensor) -> Tensor:
    """The sixteenth of the pixels that is hardest."""
    surprise = F.cross_entropy(logits, label, reduction="none").flatten()
    return surprise.topk(label.numel() // 16).values.mean()


PLAIN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": lambda logits, label: F.cross_entropy(logits, label, ignore_index=255),
    "focal": lambda logits, label: kornia.losses.focal_loss(
        logits, label, alpha=None, gamma=2, reduction="mean"
    ),
    "ohem": hard_examples,
    "dice": kornia.losses.dice_loss,
    "lovasz": kornia.losses.lovasz_softmax_loss,
}


def peak() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return peak_bytes()


def step(way: str, name: str, shape: Shape) -> float:
    """Seconds of processor time."""
    count, classes, height, width = shape
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = -(-height // 8), -(-width // 8)
    logits = torch.randn(count, classes, *size, device=device, requires_grad=True)
    label = torch.randint(0, classes, (count, height, width), device=device)
    started = time.process_time()
    if way == "plain":
        full = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
        loss = PLAIN[name](full, label)
    else:
        config = LossConfig.model_validate({"terms": [{"name": name}]})
        loss = build_loss(config, None)(logits, label)
    torch.autograd.backward(loss)
    return time.process_time() - started


def measure(way: str, name: str, shape: Shape) -> tuple[int, float]:
    """Bytes and seconds."""
    step(way, name, (1, 2, 32, 32))  # what the library itself takes
    count, _, height, width = shape
    labels = count * height * width * 8  # int64
    before = peak()
    seconds = step(way, name, shape)
    return peak() - before - labels, seconds


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # way, loss, shape
    options = parser.parse_args()
    if options.one:
        way, name, shape = options.one
        count, classes, height, width = json.loads(shape)
        print(json.dumps(measure(way, name, (count, classes, height, width))))
        return
    cases = [("cross_entropy", shape) for shape in CASES]
    cases += [(name, CASES[0]) for name in PLAIN if name != "cross_entropy"]
    if options.smoke:
        cases = [("lovasz", (2, 5, 128, 160))]
    print("| loss | batch × classes × size | full-size logits | plain | dashseg | ratio | time |")
    print("| --- |" + " --- |" * 6)
    for name, shape in cases:
        (plain, plain_s), (ours, ours_s) = (in_a_process(way, name, shape) for way in WAYS)
        count, classes, height, width = shape
        full = 4 * count * classes * height * width
        print(
            f"| {name} | {count} × {classes} × {height}×{width} | {full / 1e6:.0f} MB"
            f" | {plain / 1e6:.0f} MB | {ours / 1e6:.0f} MB | {plain / max(1, ours):.1f}"
            f" | {ours_s / plain_s:.2f} |",
            flush=True,
        )


def in_a_process(way: str, name: str, shape: Shape) -> tuple[int, float]:
    command = [sys.executable, __file__, "--one", way, name, json.dumps(shape)]
    size, seconds = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return size, seconds


if __name__ == "__main__":
    main()
