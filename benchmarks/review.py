"""How well `dashseg review` finds labels that are known to be wrong: tables for docs/results.md.

    python benchmarks/review.py WRONG CLEAN --in-fold RUN --folds OUT [--step N]
    python benchmarks/review.py --smoke

WRONG is what benchmarks/corruptions.py wrote from the data set CLEAN; RUN was trained on all of
WRONG/data but the few frames kept (WRONG/in-fold.json), OUT is a review by folds of which all
frames were shown (--top). The frames kept are not counted. Prints tables in Markdown: the models'
IoU, ROC-AUC and the share found of each kind of mistake, and what the proposed masks put right.
--smoke makes all of this from a few drawn scenes and tiny networks.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from common import SMALL, TINY, arguments
from corruptions import ANOTHER, KINDS, SHIFTED, SHIFTS, another_frame, corrupt, write_wrong
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

import dashseg
from dashseg.cli import main as dashseg_main
from dashseg.config import DataConfig
from dashseg.data import Dataset, open_dataset
from dashseg.evaluation.metrics import iou_per_class, mean_iou
from dashseg.files import read_json
from dashseg.inference import Segmenter, load
from dashseg.inference.upsampling import label_at, upsample
from dashseg.input_size import working_size
from dashseg.labels import IGNORE, Label, read_mask
from dashseg.review.scores import LEAST, POWER, Floats, drawn_probability, frame_score
from dashseg.scenes import synthesise
from dashseg.shrink import shrink_label

FIRST = 0.05  # of the list: what somebody looks at


def softmin(probabilities: Floats, label: Label, temperature: float = 0.1) -> float:
    """The paper's: Σ p·softmax((1 − p) / T), over pixels."""
    drawn = counted(probabilities, label)
    weights = np.exp((1 - drawn) / temperature)
    return float((drawn * weights).sum() / weights.sum())


def mean(probabilities: Floats, label: Label) -> float:
    return float(counted(probabilities, label).mean())


def review_score(probabilities: Floats, label: Label) -> float:
    score = frame_score(probabilities, label)
    assert score is not None
    return score


def pixels_alike(probabilities: Floats, label: Label) -> float:
    """The review's score, but each pixel counts as much as any other."""
    surprise = -np.log(np.clip(counted(probabilities, label), LEAST, 1))
    return float(np.exp(-((surprise**POWER).mean() ** (1 / POWER))))


def counted(probabilities: Floats, label: Label) -> NDArray[np.float64]:
    """The probabilities of the class drawn, where pixels count."""
    return drawn_probability(probabilities, label)[label != IGNORE].astype(np.float64)


SCORES: dict[str, Callable[[Floats, Label], float]] = {
    "review": review_score,
    "pixels alike": pixels_alike,
    "softmin": softmin,
    "mean": mean,
}


class Seen(NamedTuple):
    """A frame as the model sees it, at its working size; what is drawn there comes later."""

    name: str
    logits: torch.Tensor  # (C, h, w)

    def scores(self, label: Label) -> dict[str, float]:
        """By every way to score, if it is drawn like this."""
        probabilities = self.logits.softmax(0).numpy()
        small = shrink_label(label, probabilities.shape[1:])
        return {name: score(probabilities, small) for name, score in SCORES.items()}

    def confusion(self, label: Label) -> NDArray[np.int64]:
        """(C, C), rows = label, at the label's size."""
        classes = len(self.logits)
        known = label != IGNORE
        pairs = classes * label[known].astype(np.intp) + label_at(label.shape, self.logits)[known]
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def look(segmenter: Segmenter, dataset: Dataset, names: Sequence[str]) -> Iterator[Seen]:
    chosen = dataset.select(names, "all")
    for index in range(len(chosen)):
        image, _, name = chosen[index]
        size = working_size(image.shape[:2], segmenter.input)
        yield Seen(name, upsample(segmenter.logits(image), size).cpu())


def first_share(scores: NDArray[np.float64], wrong: NDArray[np.bool_]) -> float:
    """Share of wrong ones among the lowest `FIRST` of the scores."""
    return float(wrong[first_of(scores)].mean())


def first_of(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """The places of the lowest `FIRST` of the scores."""
    return np.argsort(scores, kind="stable")[: max(1, round(FIRST * len(scores)))]


def by_kind(scores: dict[str, float], wrong: dict[str, str]) -> list[tuple[str, int, float, int]]:
    """(kind, how many, ROC-AUC against the clean frames, how many in the first 5 % of all)."""
    names = list(scores)
    first = {names[i] for i in first_of(np.array(list(scores.values())))}
    rows = []
    for kind in (*KINDS, "all"):
        names = [name for name in scores if wrong.get(name, kind) == kind or kind == "all"]
        is_wrong = np.array([name in wrong for name in names])
        values = np.array([scores[name] for name in names])
        auc = roc_auc_score(is_wrong, -values)
        found = sum(name in first for name, bad in zip(names, is_wrong, strict=True) if bad)
        rows.append((kind, int(is_wrong.sum()), auc, found))
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("wrong", type=Path, nargs="?")
    parser.add_argument("clean", nargs="?")
    parser.add_argument("--in-fold", type=Path)
    parser.add_argument("--folds", type=Path)
    parser.add_argument("--step", type=int, default=1, help="every way: of one frame in so many")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.smoke:
        with tempfile.TemporaryDirectory() as name:
            tell(*made(Path(name)), step=4)
    elif options.clean and options.in_fold and options.folds:
        tell(options.wrong, options.clean, options.in_fold, options.folds, options.step)
    else:
        parser.error("name WRONG, CLEAN, --in-fold and --folds, or use --smoke")


def made(folder: Path) -> tuple[Path, str, Path, Path]:
    """Tiny data, made wrong; one model trained on it; a review of it by two folds."""
    synthesise(folder / "scenes", 22, seed=11, workers=1, size=SMALL)
    names = open_dataset(DataConfig(root=str(folder / "scenes"))).names
    wrong = folder / "wrong"
    write_wrong(folder / "scenes", wrong, share=0.5, keep=names[:2])
    short = (*TINY, "training.epochs=1")
    in_fold = dashseg.train(
        "demo", data=wrong / "data", split=wrong / "in-fold.json",
        overrides=[*short, "evaluation.run=false"], name="in-fold", runs=folder,
    )  # fmt: skip
    review = ["review", "--data", str(wrong / "data"), "--out", str(folder / "out"), "--top", "22"]
    folds = ["--folds", "2", "--recipe", "demo"]
    folds += [part for change in short for part in ("--set", change)]
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing):
        status = dashseg_main([*review, *folds])
    if status:
        sys.exit(status)
    return wrong, str(folder / "scenes"), in_fold.path, folder / "out"


def tell(wrong_data: Path, clean_data: str, in_fold: Path, folds: Path, step: int) -> None:
    truth = read_json(wrong_data / "truth.json")
    wrong = {name: entry["kind"] for name, entry in truth["wrong"].items()}
    drawn = open_dataset(DataConfig(root=str(wrong_data / "data")))
    clean = open_dataset(DataConfig(root=clean_data))
    index_of = {name: index for index, name in enumerate(drawn.names)}
    counted = [name for name in drawn.names if name not in set(truth["kept"])]

    every = EveryWay(clean)
    scores: dict[str, dict[str, dict[str, float]]] = {"out": {}, "in": {}}
    classes = len(clean.classes)
    confusion = {side: np.zeros((classes, classes), np.int64) for side in scores}
    for side, seen in (
        ("out", seen_by_folds(folds / "folds", drawn, counted)),
        ("in", look(load(in_fold, device="cpu"), drawn, counted)),
    ):
        for frame in seen:
            for name, score in frame.scores(drawn.label(index_of[frame.name])).items():
                scores[side].setdefault(name, {})[frame.name] = score
            confusion[side] += frame.confusion(clean.label(clean.names.index(frame.name)))
            if side == "out" and index_of[frame.name] % step == 0:
                every.add(frame)
    print_models(confusion, clean.classes.names)
    print_by_kind(scores, wrong)
    every.print()
    print_repairs(folds / "proposals", drawn, clean, wrong)
    check_verb(folds / "suspects.csv", scores["out"]["review"])


def seen_by_folds(folder: Path, dataset: Dataset, names: Sequence[str]) -> Iterator[Seen]:
    """Each frame by the model of the fold that holds it out."""
    number = 1
    while (folder / f"{number}.json").is_file():
        held_out = set(read_json(folder / f"{number}.json")["val"]) & set(names)
        yield from look(load(folder / str(number), device="cpu"), dataset, sorted(held_out))
        number += 1


class EveryWay:
    """Each held-out frame with its right label, and with that made wrong in every way in turn.

    Allowed for models that have seen neither: many more wrong labels than the tenth that was
    trained on.
    """

    ways = ((ANOTHER, 0), *((SHIFTED, far) for far in SHIFTS), *((kind, 0) for kind in KINDS[2:]))

    def __init__(self, clean: Dataset) -> None:
        self.clean = clean
        self.scores: dict[tuple[str, int], dict[str, dict[str, float]]] = {}

    def add(self, frame: Seen) -> None:
        index = self.clean.names.index(frame.name)
        rng = np.random.default_rng([1, index])
        label = self.clean.label(index)
        other = self.clean.label(another_frame(index, len(self.clean), rng))
        for kind, far in (("clean", 0), *self.ways):
            drawn = label if kind == "clean" else corrupt(kind, label, other, rng, far)
            if drawn is None:
                continue
            for name, score in frame.scores(drawn).items():
                by_frame = self.scores.setdefault((kind, far), {}).setdefault(name, {})
                by_frame[frame.name] = score

    def print(self) -> None:
        print(
            "\nEvery held-out frame made wrong in every way: ROC-AUC; and the share of wrong ones"
        )
        print("in the first 5 % of all frames, when a tenth of them is wrong in this way\n")
        columns = [f"{what}, {name}" for what in ("AUC", "first 5 %") for name in SCORES]
        print("| | n | " + " | ".join(columns) + " |\n| --- | --- |" + " --- |" * len(columns))
        for kind, far in self.ways:
            wrong, right = self.scores[kind, far], self.scores["clean", 0]
            both = [(right[name], wrong[name]) for name in SCORES]
            cells = [f"{auc_of(*pair):.3f}" for pair in both]
            cells += [f"{first_share_of_a_tenth(*pair):.2f}" for pair in both]
            title = f"{kind} {far} px" if far else kind
            print(f"| {title} | {len(wrong['mean'])} | " + " | ".join(cells) + " |")


def auc_of(right: dict[str, float], wrong: dict[str, float]) -> float:
    truth = [0] * len(right) + [1] * len(wrong)
    return float(roc_auc_score(truth, -np.array([*right.values(), *wrong.values()])))


def first_share_of_a_tenth(
    right: dict[str, float], wrong: dict[str, float], draws: int = 500
) -> float:
    """`first_share`, averaged over draws of the tenth of the frames whose labels are wrong."""
    rng = np.random.default_rng(0)
    place = {name: i for i, name in enumerate(right)}
    scores = np.array(list(right.values()))
    shares = []
    for _ in range(draws):
        chosen = rng.choice(list(wrong), min(len(wrong), round(len(right) / 10)), replace=False)
        at = [place[name] for name in chosen]
        mixed, is_wrong = scores.copy(), np.zeros(len(scores), bool)
        mixed[at], is_wrong[at] = [wrong[name] for name in chosen], True
        shares.append(first_share(mixed, is_wrong))
    return float(np.mean(shares))


def repair_shares(right: Label, wrong: Label, proposed: Label) -> tuple[float, float]:
    """Of the pixels drawn wrong, the share put right; of those drawn right, the share spoilt."""
    known = (right != IGNORE) & (wrong != IGNORE)
    bad, good = known & (wrong != right), known & (wrong == right)
    put_right = (proposed[bad] == right[bad]).mean() if bad.any() else np.nan
    return float(put_right), float((proposed[good] != right[good]).mean())


def print_models(confusion: dict[str, NDArray[np.int64]], names: Sequence[str]) -> None:
    print("\nThe models, by the right labels of the frames they reviewed: IoU\n")
    print("| | " + " | ".join(names) + " | mean |\n| --- | --- |" + " --- |" * len(names))
    for side, counts in confusion.items():
        cells = ("–" if iou is None else f"{iou:.3f}" for iou in iou_per_class(counts))
        print(f"| {side} | " + " | ".join(cells) + f" | {mean_iou(counts):.3f} |")


def print_by_kind(scores: dict[str, dict[str, dict[str, float]]], wrong: dict[str, str]) -> None:
    for name in SCORES:
        print(
            f"\nscore: {name}; of {round(FIRST * len(scores['out'][name]))} frames, the first 5 %\n"
        )
        print("| kind | n | AUC out of fold | AUC in fold | first 5 % out | first 5 % in |")
        print("| --- | --- | --- | --- | --- | --- |")
        out, inside = (by_kind(scores[side][name], wrong) for side in ("out", "in"))
        for (kind, count, auc, first), (_, _, auc_in, first_in) in zip(out, inside, strict=True):
            print(f"| {kind} | {count} | {auc:.3f} | {auc_in:.3f} | {first} | {first_in} |")


def print_repairs(folder: Path, drawn: Dataset, clean: Dataset, wrong: dict[str, str]) -> None:
    """The proposed masks of the frames made wrong, and of as many others."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for index, name in enumerate(drawn.names):
        proposed = read_mask(folder / f"{name}.png", drawn.classes)
        shares = repair_shares(clean.label(clean.names.index(name)), drawn.label(index), proposed)
        rows.setdefault(wrong.get(name, "none"), []).append(shares)
    print("\nProposed masks, out of fold: pixels put right and spoilt, medians over frames\n")
    print("| kind | put right | spoilt |\n| --- | --- | --- |")
    for kind in (*KINDS, "none"):
        fixed, spoilt = np.median(np.array(rows[kind]), axis=0)
        print(f"| {kind} | {fixed:.2f} | {spoilt:.4f} |")


def check_verb(table: Path, scores: dict[str, float]) -> None:
    """The verb's own scores are these."""
    with table.open(encoding="utf-8", newline="") as file:
        verb = {row["name"]: float(row["score"]) for row in csv.DictReader(file)}
    worst = max(abs(verb[name] - score) for name, score in scores.items())
    print(f"\nlargest difference from the verb's suspects.csv: {worst:.1e}")


if __name__ == "__main__":
    main()
