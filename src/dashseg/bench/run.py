"""A model in every runtime that this machine has, in turn: how fast, how heavy, how true."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from dashseg.bench.flops import graph_flop
from dashseg.bench.machine import describe_machine, matrix_rates
from dashseg.bench.rows import Bench, Row, Skipped
from dashseg.bench.ways import exported_way, ways_of
from dashseg.bench.worker import Worker, WorkerError
from dashseg.config import SMALLEST_SIDE, DataConfig, InputConfig
from dashseg.data import Dataset, open_dataset
from dashseg.errors import InputError
from dashseg.evaluation.metrics import ConfusionMatrix, mean_iou
from dashseg.inference import Segmenter, load
from dashseg.inference.calibration import Frames, calibration_frames, images_of, spread
from dashseg.inference.loading import exported_file
from dashseg.input_size import working_size
from dashseg.labels import Image, Label, require_same_classes

DRAWN = "synthetic:8:1"  # what labels are compared on where no frames are named,
DRAWN_CALIBRATION = "synthetic:40"  # and what INT8 is calibrated on
_PEAK_S = 1.0  # for each precision's matrix rate
_PAUSE_S = 0.02  # between turns: until the last one's threads have gone to sleep
_RUNS = 2  # timed in a row at each turn, after one that is not
_THROUGHPUT_ROUNDS = 3
_QUEUE_S = 2.0  # for so long a queue is kept full


@dataclass(frozen=True)
class BenchOptions:
    """What to measure.

    Args:
        size: (H, W) that the network sees; None: the model's own.
        data: labelled frames, whose held-out side gives the mIoU and whose other side calibrates.
        frames: how many at most are labelled.
        calibration: how many at most INT8 is calibrated on.
        rounds: in each, every runtime has its turn.
    """

    size: tuple[int, int] | None = None
    data: DataConfig | None = None
    frames: int = 40
    calibration: int = 100
    rounds: int = 10


@dataclass(frozen=True)
class _Score:
    agreement: float | None
    miou: float | None


def bench(
    model: str,
    options: BenchOptions,
    say: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Bench:
    """Measure every runtime of a trained model, or the one of an exported file.

    Each has a process of its own; they take turns, so that all see the same machine.

    Args:
        model: what `load` takes.
        say: is told what is being done.
        on_progress: called with (rounds done, rounds in all).

    Raises:
        InputError: no such model or data; data of other classes; a size that the file cannot take;
            nothing that runs.
    """
    segmenter = load(model, device="cpu")
    shown = _frames_to_label(segmenter, options)
    frame = _read(shown, 0)[0]
    rule = _fixed_rule(segmenter, options.size, frame)
    only = exported_way(segmenter)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        if only is None:
            ways, skipped = ways_of(
                segmenter, rule, lambda: _calibration(segmenter, options), Path(name), say
            )
        else:
            ways, skipped = [only], []
        say("measuring how fast this machine multiplies matrices")
        peaks = _matrix_rates()
        workers = []
        for way in ways:
            say(f"loading {way.runtime} in {way.precision}")
            try:
                worker = Worker(way, frame)
            except WorkerError as error:
                skipped.append(Skipped(way.runtime, way.precision, str(error)))
                continue
            stack.callback(worker.close)
            workers.append(worker)
        if not workers:
            raise InputError(f"{model}: nothing here runs it: {skipped[0].reason}")
        say(f"timing {len(workers)} ways in turn")
        times = _take_turns(workers, frame, options.rounds, on_progress)
        throughput = [_throughput(worker, frame) for worker in workers]
        say(f"labelling {len(shown)} frames")
        scores = _label(workers, shown, len(segmenter.classes), only is None)
        flop = _flop(segmenter, working_size(frame.shape[:2], rule))
        rows = [
            _row(worker, *times[index], None if only else times[0][0], throughput[index],
                 scores[index], flop, peaks)
            for index, worker in enumerate(workers)
        ]  # fmt: skip
    calibrated = only is None and any(way.precision == "int8" for way in ways)
    return Bench(
        model=model,
        size=working_size(frame.shape[:2], rule),
        frames=f"{len(shown)} of {options.data.root if options.data else DRAWN}",
        calibration=_calibration_name(options) if calibrated else None,
        machine=describe_machine() | {"matrix_gflops": peaks},
        rows=rows,
        skipped=skipped,
    )


def _frames_to_label(segmenter: Segmenter, options: BenchOptions) -> Frames | Dataset:
    if options.data is None:
        return images_of(spread(open_dataset(DataConfig(root=DRAWN), "all"), options.frames))
    dataset = open_dataset(options.data, "val")
    require_same_classes(dataset.classes, dataset.root, segmenter.classes, segmenter.name)
    return spread(dataset, options.frames)


def _read(frames: Frames | Dataset, index: int) -> tuple[Image, Label | None]:
    if isinstance(frames, Frames):
        return frames[index], None
    sample = frames[index]
    return sample.image, sample.label


def _fixed_rule(segmenter: Segmenter, size: tuple[int, int] | None, frame: Image) -> InputConfig:
    """The size rule under which every frame comes to one size, as fast files want it."""
    only = segmenter.runtime.size
    size = size or only or working_size(frame.shape[:2], segmenter.input)
    if only is not None and size != only:
        raise InputError(
            f"{segmenter.name} takes frames of {only[0]}x{only[1]} only, not of"
            f" {size[0]}x{size[1]}: leave --size out, or bench the model that it was made from"
        )
    if min(size) < SMALLEST_SIDE:
        raise InputError(
            f"--size {size[0]}x{size[1]} is too small: networks take"
            f" {SMALLEST_SIDE}x{SMALLEST_SIDE} and up"
        )
    return segmenter.input.model_copy(update={"size": size, "resize": "squash"})


def _calibration_name(options: BenchOptions) -> str:
    return str(options.data.root) if options.data else f"{DRAWN_CALIBRATION} (drawn scenes)"


def _calibration(segmenter: Segmenter, options: BenchOptions) -> Frames:
    if options.data is not None:
        return calibration_frames(options.data, segmenter.classes, options.calibration)
    drawn = open_dataset(DataConfig(root=DRAWN_CALIBRATION), "all")
    return images_of(spread(drawn, options.calibration))


def _matrix_rates() -> dict[str, float]:
    """In a process of its own, whose threads are gone when the turns begin; {} without OpenVINO."""
    with get_context("spawn").Pool(1) as pool:
        try:
            return pool.apply(matrix_rates, (_PEAK_S,))
        except InputError:
            return {}


def _take_turns(
    workers: Sequence[Worker],
    frame: Image,
    rounds: int,
    on_progress: Callable[[int, int], None] | None,
) -> list[tuple[list[float], list[float]]]:
    """For each worker: seconds of the network, and from frame to label, in the order of rounds."""
    times: list[tuple[list[float], list[float]]] = [([], []) for _ in workers]
    for turn in range(rounds):
        for worker, (network, whole) in zip(workers, times, strict=True):
            time.sleep(_PAUSE_S)
            network += worker.times(frame, 1 + _RUNS)[1:]
            whole += worker.frame_times(frame, 1)
        if on_progress:
            on_progress(turn + 1, rounds)
    return times


def _throughput(worker: Worker, frame: Image) -> float:
    rounds = range(_THROUGHPUT_ROUNDS)
    return statistics.median(worker.throughput(frame, _QUEUE_S) for _ in rounds)


def _label(
    workers: Sequence[Worker], frames: Frames | Dataset, classes: int, compare: bool
) -> list[_Score]:
    """Each worker's agreement with the first one's labels, and its mIoU where labels are known."""
    agreeing = np.zeros(len(workers), np.int64)
    pixels = 0
    confusions = [ConfusionMatrix(classes) for _ in workers]
    for index in range(len(frames)):
        image, truth = _read(frames, index)
        labels = [worker.label(image) for worker in workers]
        agreeing += [int((label == labels[0]).sum()) for label in labels]
        pixels += labels[0].size
        if truth is not None:
            for confusion, label in zip(confusions, labels, strict=True):
                confusion.update(torch.from_numpy(label), torch.from_numpy(truth))
    labelled = not isinstance(frames, Frames)
    return [
        _Score(
            float(agreeing[index]) / pixels if compare else None,
            mean_iou(confusion.compute()) if labelled else None,
        )
        for index, confusion in enumerate(confusions)
    ]


def _flop(segmenter: Segmenter, size: tuple[int, int]) -> float | None:
    path = exported_file(Path(segmenter.name))
    if path is None:
        from dashseg.models.summary import summarise

        return 2.0 * summarise(segmenter.network, size)[1].multiply_adds
    try:
        return graph_flop(path, size)
    except InputError:  # no OpenVINO to read the graph with
        return None


def _row(
    worker: Worker,
    times: list[float],
    frame_times: list[float],
    eager: list[float] | None,
    throughput: float,
    score: _Score,
    flop: float | None,
    peaks: dict[str, float],
) -> Row:
    way, loaded = worker.way, worker.loaded
    quantised = way.precision == "int8"
    precision = way.precision if quantised else loaded.computes_in or way.precision
    median = statistics.median(times)
    ratios = [] if eager is None else [slow / own for slow, own in zip(eager, times, strict=True)]
    rate = flop / median / 1e9 if flop else None
    return Row(
        runtime=way.runtime,
        precision=precision,
        ms_median=1e3 * median,
        ms_min=1e3 * min(times),
        ms_max=1e3 * max(times),
        fps=1 / median,
        throughput_fps=throughput,
        ms_frame_to_label=1e3 * statistics.median(frame_times),
        speedup_vs_eager=statistics.median(ratios) if ratios else None,
        speedup_min=min(ratios) if ratios else None,
        speedup_max=max(ratios) if ratios else None,
        label_agreement=score.agreement,
        miou=score.miou,
        load_s=loaded.seconds,
        peak_memory_mb=loaded.peak_bytes / 1e6,
        file_mb=way.file_bytes / 1e6,
        gflop=flop / 1e9 if flop else None,
        gflops=rate,
        share_of_peak=rate / peaks[precision] if rate and precision in peaks else None,
    )
