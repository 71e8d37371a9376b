"""Segmenter + data set -> metrics; on request metrics.json, per_image.csv, report/index.html."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
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
from dashseg.inference.pipeline import Pace, run
from dashseg.labels import Image
from dashseg.peak_memory import peak_bytes
from dashseg.run_directory import RunDirectory
from dashseg.tables import table_writer

if TYPE_CHECKING:
    from dashseg.inference import Result, Segmenter


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
        on_progress: called with (frames done, frames in all).

    Raises:
        InputError: model and data have different classes; no frames; a frame that cannot be read,
            or none; logits that are not finite; `out` holds something else or cannot be written.
    """
    check_classes(dataset, segmenter.classes, segmenter.name)
    weights = sha256(segmenter.weights) if segmenter.weights else None
    # Before the first frame is read: files may be deleted meanwhile.
    frames = _Frames(dataset, dataset.fingerprint(), skip_broken)
    totals = Totals(len(dataset.classes), bootstrap, seed)
    extremes = Extremes(examples if out else 0)
    if out is None:
        speed = _score_frames(segmenter, frames, totals, extremes, None, pace, on_progress)
        return _metrics(segmenter, weights, frames, totals, speed)
    with check_out(out).replacing(last=METRICS) as folder:
        with (folder / PER_IMAGE).open("w", encoding="utf-8", newline="") as file:
            write_row = table_writer(file)
            write_row(per_image_header(dataset.classes))
            speed = _score_frames(segmenter, frames, totals, extremes, write_row, pace, on_progress)
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


@dataclass(frozen=True)
class _Scored:
    """A frame's place in the data set, its name, mean luma and score."""

    index: int
    name: str
    luma: float
    score: FrameScore


@dataclass(frozen=True)
class _Frames:
    dataset: Dataset
    fingerprint: str
    skip_broken: bool
    unreadable: list[str] = field(default_factory=list)

    def scored(
        self, segmenter: Segmenter, pace: Pace | None, on_network: Callable[[float], object]
    ) -> Generator[_Scored, None, None]:
        """Each frame that can be read, in order; the others go to `unreadable`."""
        count = len(self.dataset)

        def read(index: int) -> tuple[Image, tuple[int, Sample]]:
            sample = self.dataset[index]
            return sample.image, (index, sample)

        def score(of: tuple[int, Sample], result: Result) -> _Scored:
            index, sample = of
            logits = torch.as_tensor(result.logits)
            luma = luminance(sample.image)
            return _Scored(index, sample.name, luma, score_frame(logits, sample.label))

        outcomes = run(segmenter, range(count), read, score, pace, on_network)
        with closing(outcomes):
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


def _score_frames(
    segmenter: Segmenter,
    frames: _Frames,
    totals: Totals,
    extremes: Extremes,
    write_row: Callable[[list[str]], object] | None,
    pace: Pace | None,
    on_progress: Callable[[int, int], None] | None,
) -> Numbers:
    """Score every frame into `totals` and `extremes`; returns `Metrics.throughput`."""
    started, network = time.perf_counter(), list[float]()
    count = len(frames.dataset)
    with closing(frames.scored(segmenter, pace, network.append)) as scored:
        for frame in scored:
            if not math.isfinite(frame.score.native.total):
                raise InputError(f"{segmenter.name}: logits that are not finite for {frame.name}")
            totals.add(frame.index, frame.luma, frame.score)
            extremes.offer(frame.index, frame.score)
            if write_row:
                write_row(per_image_row(frame.name, frame.luma, frame.score))
            if on_progress:
                on_progress(frame.index + 1, count)
    done, peak = count - len(frames.unreadable), peak_bytes()
    return {
        "images_per_s": done / (time.perf_counter() - started),
        "model_images_per_s": done / sum(network),
        "peak_rss_mb": peak / 1e6 if peak else None,
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
