"""A model in every runtime of this machine, in turn: its speed, memory and accuracy."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from dashseg.bench.flops import graph_flop
from dashseg.bench.machine import describe_machine, matrix_rates
from dashseg.bench.rows import Bench, Row, Skipped
from dashseg.bench.ways import exported_way, ways_of
from dashseg.bench.worker import Worker, WorkerError
from dashseg.config import DataConfig, InputConfig
from dashseg.data import Dataset, open_dataset
from dashseg.data.dataset import check_classes
from dashseg.errors import InputError
from dashseg.evaluation.comparison import LabelScore, compare_labels, read_frame
from dashseg.inference import Segmenter, load
from dashseg.inference.calibration import Frames, calibration_frames, images_of, spread
from dashseg.inference.export import squash_rule
from dashseg.inference.loading import exported_file
from dashseg.input_size import working_size
from dashseg.labels import Image

DRAWN = "synthetic:8:1"  # what labels are compared on where no frames are named,
DRAWN_CALIBRATION = "synthetic:40"  # and what INT8 is calibrated on
PEAK_SECONDS = 1.0  # for each precision's matrix rate
_PAUSE_S = 0.02  # between turns: the threads of the last one need it to go to sleep
_RUNS = 2  # timed at each turn, after one that is not timed
_THROUGHPUT_ROUNDS = 3
QUEUE_SECONDS = 2.0  # for so long a queue is kept full


@dataclass(frozen=True)
class BenchOptions:
    """What to measure.

    Args:
        size: (H, W) that the network sees; None: the model's own.
        data: labelled frames; the val split gives the mIoU, the train split calibrates INT8.
        frames: how many are labelled at most.
        calibration: how many INT8 is calibrated on at most.
        rounds: every runtime is timed once in each.
        classes: palette.yaml of an ONNX file that dashseg did not export.
    """

    size: tuple[int, int] | None = None
    data: DataConfig | None = None
    frames: int = 40
    calibration: int = 100
    rounds: int = 10
    classes: Path | None = None


def bench(
    model: str,
    options: BenchOptions,
    say: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Bench:
    """Measure every runtime of a trained model, or the one of an exported file.

    Each has a process of its own. They take turns, so a slow moment of the machine affects all.

    Args:
        model: what `load` takes.
        say: called with a line on each step.
        on_progress: called with (rounds done, rounds in all).

    Raises:
        InputError: no such model or data; data of other classes; a size that the file cannot take;
            nothing that runs.
    """
    segmenter = load(model, device="cpu", classes=options.classes)
    shown = _frames_to_label(segmenter, options)
    frame = read_frame(shown, 0)[0]
    rule = _fixed_rule(segmenter, options.size, frame)
    only = exported_way(segmenter, options.classes)
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
        scores = compare_labels([worker.label for worker in workers], shown, segmenter.classes)
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
    check_classes(dataset, segmenter.classes, segmenter.name)
    return spread(dataset, options.frames)


def _fixed_rule(segmenter: Segmenter, size: tuple[int, int] | None, frame: Image) -> InputConfig:
    """The size rule under which every frame comes to one size, as fast files want it."""
    only = segmenter.runtime.size
    size = size or only or working_size(frame.shape[:2], segmenter.input)
    if only is not None and size != only:
        raise InputError(
            f"{segmenter.name} takes frames of {only[0]}x{only[1]} only, not of"
            f" {size[0]}x{size[1]}: leave --size out, or bench the model that it was made from"
        )
    return squash_rule(segmenter.input, size)


def _calibration_name(options: BenchOptions) -> str:
    return str(options.data.root) if options.data else f"{DRAWN_CALIBRATION} (drawn scenes)"


def _calibration(segmenter: Segmenter, options: BenchOptions) -> Frames:
    if options.data is not None:
        return calibration_frames(options.data, options.calibration)
    drawn = open_dataset(DataConfig(root=DRAWN_CALIBRATION), "all")
    return images_of(spread(drawn, options.calibration))


def _matrix_rates() -> dict[str, float]:
    """`matrix_rates` in a process of its own, so that no threads stay; {} without OpenVINO."""
    with get_context("spawn").Pool(1) as pool:
        try:
            return pool.apply(matrix_rates, (PEAK_SECONDS,))
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
    return statistics.median(worker.throughput(frame, QUEUE_SECONDS) for _ in rounds)


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
    score: LabelScore,
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
        label_agreement=None if eager is None else score.agreement,
        miou=score.miou,
        load_s=loaded.seconds,
        peak_memory_mb=loaded.peak_bytes / 1e6,
        file_mb=way.file_bytes / 1e6,
        gflop=flop / 1e9 if flop else None,
        gflops=rate,
        share_of_peak=rate / peaks[precision] if rate and precision in peaks else None,
    )
