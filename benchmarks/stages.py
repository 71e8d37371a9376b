"""What each stage of predict, evaluate and video takes, and how near to that each verb comes.

    python benchmarks/stages.py MODEL --data COMMA10K [--copies 12] [--rounds 3]
    python benchmarks/stages.py --smoke

MODEL is best an exported one; --data is a folder in comma10k's layout, whose frames are used
--copies times. Prints milliseconds of a processor core for each stage, alone and on one core, and
for masks and scores also what a plain way takes, measured in turn, with the ratio. Then for each
verb: the sum of its stages, what the process spends on a frame in all, how many of the cores that
are free at the time it keeps busy, and its frames a second against the most that all cores allow
(cores ÷ the sum). The last figure is only right on a machine that does nothing else; the others are
right on a busy one too. The start of the verb and the compiling of the model do not count.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from common import SMALL, arguments, spread
from torch.nn import functional as F

import dashseg
from dashseg.curate.brightness import luminance
from dashseg.data import Dataset
from dashseg.evaluation import evaluate
from dashseg.evaluation.scoring import score_frame
from dashseg.images import encode_jpeg, encode_png, read_image, resize_image
from dashseg.inference import Segmenter, predict_files
from dashseg.inference.runtime import cores
from dashseg.inference.upsampling import label_at
from dashseg.inference.video import segment_video
from dashseg.inference.video.overlay import overlay
from dashseg.inference.video.read import open_clip
from dashseg.inference.video.write import VideoWriter
from dashseg.labels import COMMA10K, Label, encode_label, encode_mask, write_mask
from dashseg.scenes import render_scene

Stages = dict[str, float]  # milliseconds of a core for a frame


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("model", nargs="?", default="small")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--copies", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not (options.smoke or options.data):
        parser.error("name a folder with --data, or use --smoke")
    copies, rounds = (1, 1) if options.smoke else (options.copies, options.rounds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = drawn(folder / "drawn") if options.smoke else options.data
        frames = copied(data, folder / "frames", copies)
        dataset = dashseg.open_dataset(frames, "all")
        clip = filmed(dataset, folder / "clip.mp4")
        stages = measured(dashseg.load(options.model, device="cpu"), dataset, frames, clip, rounds)
        segmenter = dashseg.load(options.model, device="cpu", many=True)

        def predict(turn: int) -> None:
            predict_files(segmenter, [str(frames / "imgs")], folder / f"out{turn}")

        def video(turn: int) -> None:
            segment_video(segmenter, clip, folder / f"{turn}.mp4")

        network = ("resize", "network")
        reach("predict", stages, ("image", *network, "label", "mask", "overlay"), predict,
              len(dataset), rounds)  # fmt: skip
        reach("evaluate", stages, ("image", "label file", *network, "luminance", "score"),
              lambda turn: evaluate(segmenter, dataset), len(dataset), rounds)  # fmt: skip
        reach("video", stages, ("decode", *network, "label", "blend", "encode"), video,
              len(dataset), rounds)  # fmt: skip


def drawn(root: Path) -> Path:
    """Two drawn scenes in comma10k's layout."""
    for kind in ("imgs", "masks"):
        (root / kind).mkdir(parents=True)
    for number in range(2):
        scene = render_scene(0, number, SMALL)
        (root / "imgs" / f"{number}.png").write_bytes(encode_png(scene.image))
        write_mask(root / "masks" / f"{number}.png", scene.label, COMMA10K)
    return root


def copied(data: Path, folder: Path, copies: int) -> Path:
    for kind in ("imgs", "masks"):
        (folder / kind).mkdir(parents=True)
        for path in sorted((data / kind).glob("*.png")):
            for copy in range(copies):
                shutil.copy(path, folder / kind / f"{copy:03}_{path.name}")
    return folder


def filmed(dataset: Dataset, clip: Path) -> Path:
    with VideoWriter(clip, ".mp4", "h264", Fraction(20), Fraction(1, 20)) as writer:
        for number in range(len(dataset)):
            writer.write(dataset[number].image, number)
    return clip


def measured(
    segmenter: Segmenter, dataset: Dataset, frames: Path, clip: Path, rounds: int
) -> Stages:
    """Print and return what each stage takes."""
    few = range(min(8, len(dataset)))
    images = [dataset[index].image for index in few]
    labels = [dataset[index].label for index in few]
    working = [resize_image(image, segmenter.size_for(image)) for image in images]
    results = [segmenter(image) for image in images]
    assert all(result.label.size for result in results)  # made here, and kept
    logits = [torch.as_tensor(result.logits) for result in results]
    paths = sorted((frames / "imgs").iterdir())[: len(images)]
    film = list(open_clip(clip).frames())[: len(images)]
    shown = [overlay(*pair) for pair in zip(film, results, strict=True)]

    def encode() -> None:
        with VideoWriter(
            clip.with_name("e.mp4"), ".mp4", "h264", Fraction(20), Fraction(1, 20)
        ) as writer:
            for number, picture in enumerate(shown):
                writer.write(picture, number)

    def each(work: Callable[..., object], *items: Sequence[Any]) -> Callable[[], None]:
        def run() -> None:
            for values in zip(*items, strict=True):
                work(*values)

        return run

    ways: dict[str, Callable[[], object]] = {
        "image": each(read_image, paths),
        "label file": each(dataset.label, few),
        "resize": each(lambda image: resize_image(image, segmenter.size_for(image)), images),
        "network": each(lambda image: segmenter.runtime(image[None]), working),
        "label": each(lambda r: label_at(r.image.shape[:2], r.logits), results),
        "mask, all filters": each(lambda r: encode_png(encode_label(r.label, r.classes)), results),
        "mask": each(lambda r: encode_mask(r.label, r.classes), results),
        "overlay": each(lambda r: encode_jpeg(np.asarray(r.overlay())), results),
        "luminance": each(luminance, images),
        "score, in PyTorch": each(plain_score, logits, labels),
        "score": each(score_frame, logits, labels),
        "decode": lambda: sum(1 for _ in open_clip(clip).frames()),
        "blend": each(overlay, film, results),
        "encode": encode,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, work in ways.items():
            start = time.process_time()
            work()
            count = len(dataset) if name == "decode" else len(images)
            times[name].append(1e3 * (time.process_time() - start) / count)
    print(f"{'stage':18} ms of a core per frame of {images[0].shape[1]}×{images[0].shape[0]}")
    for name, values in times.items():
        print(f"{name:18} {spread(values[1:])}")
    for new, old in (("mask", "mask, all filters"), ("score", "score, in PyTorch")):
        ratios = [b / a for a, b in zip(times[new][1:], times[old][1:], strict=True)]
        print(f"{old} / {new}: {spread(ratios)}")
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def plain_score(logits: torch.Tensor, label: Label) -> None:
    """All logits at the label's size, and the losses and the confusion matrix from them."""
    truth = torch.from_numpy(label).long()[None]
    full = F.interpolate(logits[None], size=label.shape, mode="bilinear")
    F.cross_entropy(full, truth, ignore_index=255, reduction="sum").item()
    prediction = full.max(1).indices
    cells = (truth * len(logits) + prediction)[truth != 255]
    cells.bincount(minlength=len(logits) ** 2)
    square = F.interpolate(logits[None], size=(256, 256), mode="bilinear")
    squashed = cv2.resize(label, (256, 256), interpolation=cv2.INTER_NEAREST_EXACT)
    F.cross_entropy(square, torch.from_numpy(squashed).long()[None], ignore_index=255).item()


def reach(
    verb: str,
    stages: Stages,
    parts: Sequence[str],
    work: Callable[[int], object],
    count: int,
    rounds: int,
) -> None:
    """Print how near a verb comes to the sum of its stages."""
    total = sum(stages[part] for part in parts)
    spent, rates, shares = [], [], []
    for turn in range(rounds):
        free = cores_free(1.0 if rounds > 1 else 0.1)
        start, clock = time.process_time(), time.perf_counter()
        work(turn)
        spent.append(1e3 * (time.process_time() - start) / count)
        rates.append(count / (time.perf_counter() - clock))
        shares.append(spent[-1] / 1e3 * rates[-1] / free)
    most = 1e3 * cores() / total
    print(f"{verb}: stages {total:.1f} ms, {' + '.join(parts)}")
    share = total / statistics.median(spent)
    print(f"  the process spends {spread(spent)} ms: stages / spent {share:.2f}")
    print(f"  it keeps {spread(shares, 2)} of the cores busy that are free for as many threads")
    print(f"  {spread(rates)} frames/s of at most {most:.1f} on {cores()} cores:"
          f" {statistics.median(rates) / most:.2f}")  # fmt: skip


def cores_free(seconds: float) -> float:
    """How many cores threads get that only compute, as many as a pipeline has."""
    block = np.ones((600, 600), np.float32)
    end = time.perf_counter() + seconds

    def compute() -> None:
        while time.perf_counter() < end:
            cv2.GaussianBlur(block, (31, 31), 0)

    start, clock = time.process_time(), time.perf_counter()
    threads = [threading.Thread(target=compute) for _ in range(cores() + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.process_time() - start) / (time.perf_counter() - clock)


if __name__ == "__main__":
    main()
