"""Segmenter + data set -> metrics; on request metrics.json, per_image.csv, report/index.html."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import dashseg
from dashseg.curate.brightness import luminance
from dashseg.data import Dataset, Sample
from dashseg.data.dataset import check_classes
from dashseg.errors import InputError
from dashseg.evaluation.examples import Extremes
from dashseg.evaluation.folder import METRICS, PER_IMAGE, REPORT, check_out
from dashseg.evaluation.report import write_report
from dashseg.evaluation.results import Metrics, Numbers, per_image_header, per_image_row
from dashseg.evaluation.scoring import FrameScore, score_frame
from dashseg.evaluation.totals import Totals
from dashseg.files import sha256, write_json
from dashseg.images import encode_png
from dashseg.inference.pipeline import Pace, run
from dashseg.labels import Image
from dashseg.peak_memory import peak_bytes
from dashseg.run_directory import RunDirectory
from dashseg.tables import table_writer

if TYPE_CHECKING:
    from dashseg.inference import Result, Segmenter


@dataclass(frozen=True)
class Scored:
    """A frame's place in the data set, its name, mean luma and score.

    Args:
        encode: makes a PNG of ids of its prediction.
    """

    index: int
    name: str
    luma: float
    score: FrameScore
    encode: Callable[[], bytes]


@dataclass
class Meter:
    """What scoring took, known at its end.

    Args:
        network: seconds that the network computed.
        peak: the most memory that a process held, in bytes; 0: not measured.
    """

    network: float = 0.0
    peak: int = 0


# (data set, how many of the best and of the worst frames will be shown, meter) -> each frame in
# order, or why it cannot be read
Scorer = Callable[[Dataset, int, Meter], Generator[Scored | InputError, None, None]]


def evaluate(
    segmenter: Segmenter,
    dataset: Dataset,
    out: Path | None = None,
    *,
    examples: int = 8,
    bootstrap: int = 1000,
    seed: int = 0,
    skip_broken: bool = False,
    pace: Pace | None = None,
    scorer: Scorer | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Metrics:
    """Measure a model on labelled frames in one pass. Memory is constant in the number of frames.

    Args:
        out: gets metrics.json, per_image.csv and report/index.html, all at the end or none. An
            earlier evaluation there is replaced. None: nothing is written.
        examples: how many of the best and of the worst frames by loss the report shows.
        bootstrap: resamples for the 95 % intervals; 0: none.
        seed: of the bootstrap.
        skip_broken: leave out frames that cannot be read; `Metrics.data["unreadable"]` says why.
        pace: how many frames are worked on at once.
        scorer: scores the frames elsewhere, with the same model; None: here.
        on_progress: called with (frames done, frames in all).

    Raises:
        InputError: model and data have different classes; no frames; a frame that cannot be read,
            or none; logits that are not finite; `out` holds something else or cannot be written.
    """
    check_classes(dataset, segmenter.classes, segmenter.name)
    weights = sha256(segmenter.weights) if segmenter.weights else None
    # Before the first frame is read: files may be deleted meanwhile.
    scorer = scorer or partial(_score_here, segmenter, pace)
    frames = _Frames(dataset, dataset.fingerprint(), scorer, skip_broken)
    totals = Totals(len(dataset.classes), bootstrap, seed)
    shown = examples if out else 0
    extremes = Extremes(shown)

    def add_up(write_row: Callable[[list[str]], object] | None) -> Numbers:
        return _add_up(segmenter.name, frames, shown, totals, extremes, write_row, on_progress)

    if out is None:
        return _metrics(segmenter, weights, frames, totals, add_up(None))
    with check_out(out).replacing(last=METRICS) as folder:
        with (folder / PER_IMAGE).open("w", encoding="utf-8", newline="") as file:
            write_row = table_writer(file)
            write_row(per_image_header(dataset.classes))
            speed = add_up(write_row)
        metrics = _metrics(segmenter, weights, frames, totals, speed)
        write_json(folder / METRICS, metrics.to_dict())
        write_report(
            folder / REPORT,
            metrics,
            dataset,
            totals.loss_counts,
            worst=extremes.worst(),
            best=extremes.best(),
            curves=RunDirectory(segmenter.run).metrics if segmenter.run else None,
        )
    return replace(metrics, folder=out)


def score_frames(
    segmenter: Segmenter,
    dataset: Dataset,
    indices: Sequence[int],
    pace: Pace | None,
    on_network: Callable[[float], object],
) -> Generator[Scored | InputError, None, None]:
    """Score some frames of a data set; yield each in order, or why it cannot be read.

    Args:
        on_network: as `run` takes it.
    """

    def read(index: int) -> tuple[Image, tuple[int, Sample]]:
        sample = dataset[index]
        return sample.image, (index, sample)

    def score(of: tuple[int, Sample], result: Result) -> Scored:
        index, sample = of
        found = score_frame(torch.as_tensor(result.logits), sample.label)
        encode = partial(encode_png, found.prediction, flat=True)
        return Scored(index, sample.name, luminance(sample.image), found, encode)

    with closing(run(segmenter, indices, read, score, pace, on_network)) as outcomes:
        yield from outcomes


def _score_here(
    segmenter: Segmenter, pace: Pace | None, dataset: Dataset, shown: int, meter: Meter
) -> Generator[Scored | InputError, None, None]:
    """A `Scorer`, of this process."""
    seconds = list[float]()
    yield from score_frames(segmenter, dataset, range(len(dataset)), pace, seconds.append)
    meter.network, meter.peak = sum(seconds), peak_bytes()


@dataclass(frozen=True)
class _Frames:
    dataset: Dataset
    fingerprint: str
    scorer: Scorer
    skip_broken: bool
    unreadable: list[str] = field(default_factory=list)

    def scored(self, shown: int, meter: Meter) -> Generator[Scored, None, None]:
        """Each frame that can be read, in order; the others go to `unreadable`."""
        count = len(self.dataset)
        with closing(self.scorer(self.dataset, shown, meter)) as outcomes:
            for index, outcome in enumerate(outcomes):
                if not isinstance(outcome, InputError):
                    yield outcome
                elif self.skip_broken:
                    self.unreadable.append(str(outcome))
                else:
                    raise InputError(
                        f"{outcome} (frame {index + 1} of {count}); --skip-broken skips it"
                    )
        if len(self.unreadable) == count:
            raise InputError(f"none of {count} frames can be read; {self.unreadable[0]}")


def _add_up(
    model: str,
    frames: _Frames,
    shown: int,
    totals: Totals,
    extremes: Extremes,
    write_row: Callable[[list[str]], object] | None,
    on_progress: Callable[[int, int], None] | None,
) -> Numbers:
    """Add every frame to `totals` and `extremes`; returns `Metrics.throughput`."""
    started, meter = time.perf_counter(), Meter()
    count = len(frames.dataset)
    with closing(frames.scored(shown, meter)) as scored:
        for frame in scored:
            if not math.isfinite(frame.score.native.total):
                raise InputError(f"{model}: logits that are not finite for {frame.name}")
            totals.add(frame.index, frame.luma, frame.score)
            extremes.offer(frame.index, frame.score, frame.encode)
            if write_row:
                write_row(per_image_row(frame.name, frame.luma, frame.score))
            if on_progress:
                on_progress(frame.index + 1, count)
    done = count - len(frames.unreadable)
    return {
        "images_per_s": done / (time.perf_counter() - started),
        "model_images_per_s": done / meter.network,
        "peak_rss_mb": meter.peak / 1e6 if meter.peak else None,
    }


def _metrics(
    segmenter: Segmenter,
    weights: str | None,
    frames: _Frames,
    totals: Totals,
    throughput: Numbers,
) -> Metrics:
    dataset = frames.dataset
    overall = totals.all.summary(dataset.classes)
    intervals = totals.bootstrap.cross_entropy(), totals.bootstrap.mean_iou()
    return Metrics(
        data={
            "root": dataset.root,
            "kind": dataset.kind,
            "split": dataset.split,
            "images": len(dataset) - len(frames.unreadable),
            "unlabelled": totals.unlabelled,
            "unreadable": frames.unreadable,
            "fingerprint": frames.fingerprint,
            "resized": dataset.resized,  # then ce.native is at the size in the pack
        },
        model=segmenter.name,
        weights=weights,
        tta=list(segmenter.tta),
        classes=list(dataset.classes.names),
        # Pixels of shrunk frames are fewer than a padded frame's by more than the padding.
        ce=totals.cross_entropies() | ({"padded_896x1184": None} if dataset.resized else {}),
        miou=overall["miou"],
        iou=overall["iou"],
        pixel_accuracy=overall["pixel_accuracy"],
        confusion=totals.all.confusion.tolist(),
        intervals={
            name: list(interval) if interval else None
            for name, interval in zip(("ce_native_95", "miou_95"), intervals, strict=True)
        },
        groups={name: tally.summary(dataset.classes) for name, tally in totals.groups.items()},
        throughput=throughput,
        dashseg=dashseg.__version__,
    )
