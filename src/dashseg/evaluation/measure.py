"""Segmenter + data set -> metrics; on request metrics.json, per_image.csv, report/index.html."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
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
from dashseg.evaluation.scoring import score_frame
from dashseg.evaluation.totals import Totals
from dashseg.files import sha256, write_json
from dashseg.labels import Image
from dashseg.overlap import ahead
from dashseg.peak_memory import peak_bytes
from dashseg.run_directory import RunDirectory
from dashseg.tables import table_writer

if TYPE_CHECKING:
    from dashseg.inference import Segmenter

_AHEAD = 4  # frames read while the model works: a GPU takes less time than decoding one PNG


def evaluate(
    segmenter: Segmenter,
    dataset: Dataset,
    out: Path | None = None,
    *,
    examples: int = 8,
    bootstrap: int = 1000,
    seed: int = 0,
    skip_broken: bool = False,
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
        speed = _score_frames(segmenter, frames, totals, extremes, None, on_progress)
        return _metrics(segmenter, weights, frames, totals, speed)
    with check_out(out).replacing(last=METRICS) as folder:
        with (folder / PER_IMAGE).open("w", encoding="utf-8", newline="") as file:
            write_row = table_writer(file)
            write_row(per_image_header(dataset.classes))
            speed = _score_frames(segmenter, frames, totals, extremes, write_row, on_progress)
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
class _Frames:
    dataset: Dataset
    fingerprint: str
    skip_broken: bool
    unreadable: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[int, Sample]]:
        """Index and sample of each frame that can be read; the others go to `unreadable`."""
        count = len(self.dataset)
        outcomes = ahead(range(count), self._try_read, size=_AHEAD, threads=_AHEAD)
        for index, outcome in enumerate(outcomes):
            if not isinstance(outcome, InputError):
                yield index, outcome
            elif self.skip_broken:
                self.unreadable.append(str(outcome))
            else:
                raise InputError(
                    f"{outcome} (frame {index + 1} of {count}); --skip-broken skips it"
                )
        if len(self.unreadable) == count:
            raise InputError(f"none of {count} frames can be read; {self.unreadable[0]}")

    def _try_read(self, index: int) -> Sample | InputError:
        try:
            return self.dataset[index]
        except InputError as error:
            return error


def _score_frames(
    segmenter: Segmenter,
    frames: _Frames,
    totals: Totals,
    extremes: Extremes,
    write_row: Callable[[list[str]], object] | None,
    on_progress: Callable[[int, int], None] | None,
) -> Numbers:
    """Score every frame into `totals` and `extremes`; returns `Metrics.throughput`."""
    started, model_seconds = time.perf_counter(), 0.0
    count = len(frames.dataset)
    for index, (image, label, name) in frames:
        logits, seconds = _timed_logits(segmenter, image)
        model_seconds += seconds
        score = score_frame(logits, label)
        if not math.isfinite(score.native.total):
            raise InputError(f"{segmenter.name}: logits that are not finite for {name}")
        luma = luminance(image)
        totals.add(index, luma, score)
        extremes.offer(index, score)
        if write_row:
            write_row(per_image_row(name, luma, score))
        if on_progress:
            on_progress(index + 1, count)
    scored, peak = count - len(frames.unreadable), peak_bytes()
    return {
        "images_per_s": scored / (time.perf_counter() - started),
        "model_images_per_s": scored / model_seconds,
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


def _timed_logits(segmenter: Segmenter, image: Image) -> tuple[torch.Tensor, float]:
    """Logits of a frame, and the seconds they took."""
    started = time.perf_counter()
    logits = segmenter.logits(image)
    if logits.is_cuda:
        torch.cuda.synchronize(logits.device)  # the call returns before the GPU is done
    return logits, time.perf_counter() - started


def read_ahead(dataset: Dataset) -> Iterator[Sample]:
    """The samples in order; threads read the next few meanwhile."""
    return ahead(range(len(dataset)), dataset.__getitem__, size=_AHEAD, threads=_AHEAD)
