"""One way to run a model, in a process of its own, which has its own memory and its own threads.

The process loads the model, says so, and then times what it is asked to until the pipe closes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dashseg.config import InputConfig
from dashseg.inference import Segmenter, load
from dashseg.inference.loading import exported_file
from dashseg.inference.runtime import Batch, Runtime
from dashseg.inference.runtimes import format_of
from dashseg.input_size import to_working_size
from dashseg.labels import Image, Label
from dashseg.peak_memory import peak_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from dashseg.models import DeepLabV3

TORCH = ("torch eager", "torch channels-last", "torch compiled")
_BATCH = 4  # frames at once for throughput, where the runtime has no queue of its own


@dataclass(frozen=True)
class Way:
    """One way to run a model.

    Args:
        runtime: one of `TORCH`, or the name of an exported file's runtime.
        precision: what is asked for.
        model: what `load` takes.
        input: the size rule, of one fixed size.
    """

    runtime: str
    precision: str
    model: str
    input: InputConfig
    file_bytes: int
    classes: Path | None = None  # palette.yaml of a file that dashseg did not export


@dataclass(frozen=True)
class Loaded:
    """What loading took."""

    seconds: float
    peak_bytes: int
    computes_in: str | None  # OpenVINO: the precision that it chose


class WorkerError(Exception):
    """A way that does not work here; its text is the reason."""


class Worker:
    """The other process, as seen from here. Nothing but the frames and figures goes between."""

    def __init__(self, way: Way, frame: Image) -> None:
        """Start it and wait until it has labelled `frame`.

        Raises:
            WorkerError: it cannot.
        """
        self.way = way
        context = get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, way, frame), daemon=True)
        self._process.start()
        other.close()
        try:
            self.loaded: Loaded = self._receive()
        except WorkerError:
            self.close()
            raise

    def times(self, frame: Image, runs: int) -> list[float]:
        """Seconds of each run of the network on `frame` at its working size."""
        return self._ask("times", frame, runs)

    def frame_times(self, frame: Image, runs: int) -> list[float]:
        """Seconds from a frame to its label, both at the frame's own size."""
        return self._ask("frame_times", frame, runs)

    def throughput(self, frame: Image, seconds: float) -> float:
        """Frames/s with many frames waiting: in a queue kept full for `seconds`, or in a batch."""
        return self._ask("throughput", frame, seconds)

    def label(self, frame: Image) -> Label:
        """uint8 H×W."""
        return self._ask("label", frame)

    def close(self) -> None:
        self._pipe.close()
        self._process.join(10)
        self._process.kill()

    def _ask(self, *command: Any) -> Any:
        self._pipe.send(command)
        return self._receive()

    def _receive(self) -> Any:
        try:
            kind, value = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise WorkerError(f"its process ended with code {self._process.exitcode}") from None
        if kind == "error":
            raise WorkerError(value)
        return value


def _serve(pipe: Connection, way: Way, frame: Image) -> None:
    """The worker's process."""
    try:
        start = time.perf_counter()
        bench = _Timer(way)
        bench.label(frame)
        seconds = time.perf_counter() - start
        computes_in = getattr(bench.segmenter.runtime, "computes_in", None)
        pipe.send(("done", Loaded(seconds, peak_bytes(), computes_in)))
        while True:
            name, *arguments = pipe.recv()
            pipe.send(("done", getattr(bench, name)(*arguments)))
    except EOFError:
        return
    except Exception as error:  # whatever it is, its text is the answer
        lines = str(error).strip().splitlines() or [type(error).__name__]
        pipe.send(("error", lines[0]))


class _Timer:
    def __init__(self, way: Way) -> None:
        self.way = way
        self.segmenter = _open(way)
        self._queue: Callable[[Batch, float], float] | None = None  # made when first needed

    def times(self, frame: Image, runs: int) -> list[float]:
        batch = self._batch(frame, 1)
        return [_seconds(self.segmenter.runtime, batch) for _ in range(runs)]

    def frame_times(self, frame: Image, runs: int) -> list[float]:
        return [_seconds(self.label, frame) for _ in range(runs)]

    def throughput(self, frame: Image, seconds: float) -> float:
        path = exported_file(Path(self.way.model))
        open_queue = format_of(path).queue if path else None
        if path and open_queue:
            self._queue = self._queue or open_queue(path)
            return self._queue(self._batch(frame, 1), seconds)
        batch = self._batch(frame, _BATCH)
        self.segmenter.runtime(batch)
        return _BATCH / min(_seconds(self.segmenter.runtime, batch) for _ in range(2))

    def label(self, frame: Image) -> Label:
        return self.segmenter(frame).label

    def _batch(self, frame: Image, count: int) -> Batch:
        return np.repeat(to_working_size(frame, self.way.input)[None], count, 0)


def _seconds(function: Any, argument: Any) -> float:
    start = time.perf_counter()
    function(argument)
    return time.perf_counter() - start


def _open(way: Way) -> Segmenter:
    loaded = load(way.model, device="cpu", classes=way.classes)
    runtime: Runtime = loaded.runtime
    if way.runtime in TORCH:
        from dashseg.inference.torch_runtime import TorchRuntime

        network = _variant(loaded.network, way)
        plain = way.runtime == "torch eager"
        runtime = TorchRuntime(network, loaded.config, channels_last=not plain)
    return Segmenter(runtime, way.input, loaded.classes, loaded.name)


def _variant(network: DeepLabV3, way: Way) -> DeepLabV3:
    from dashseg.models import DeepLabV3

    class InBfloat16(DeepLabV3):
        def coarse_logits(self, image: Tensor) -> Tensor:
            return super().coarse_logits(image.bfloat16())

    parts = network.encoder, network.aspp, network.decoder
    if way.precision == "bf16":
        network = InBfloat16(*parts).bfloat16().eval()
    if way.runtime == "torch compiled":
        for part in parts:
            part.compile()
    return network
