"""What a bench found: a row for each runtime and precision."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

MIOU_MARGIN = 0.003  # of 1: what a faster row may lose and still be the one to use


@dataclass(frozen=True)
class Row:
    """One runtime in one precision. Times are of the network, uint8 frame in, logits out."""

    runtime: str
    precision: str
    ms_median: float  # one frame at a time
    ms_min: float
    ms_max: float
    fps: float  # 1000 / ms_median
    throughput_fps: float  # where many frames wait
    ms_frame_to_label: float  # a frame at its own size -> its label at that size
    speedup_vs_eager: float | None  # median of the rounds' ratios
    speedup_min: float | None
    speedup_max: float | None
    label_agreement: float | None  # with PyTorch eager fp32, share of pixels
    miou: float | None
    load_s: float  # importing the library, reading and compiling, to the first logits
    peak_memory_mb: float  # of its process, one frame at a time
    file_mb: float
    gflop: float | None  # of the convolutions, for one frame; a multiply-add counts as two
    gflops: float | None  # achieved per second at the median
    share_of_peak: float | None  # of the machine's measured rate in this precision


@dataclass(frozen=True)
class Skipped:
    """A runtime that could not be measured here, and why."""

    runtime: str
    precision: str
    reason: str


@dataclass(frozen=True)
class Bench:
    """The whole of it."""

    model: str
    size: tuple[int, int]
    frames: str  # what the labels are compared on
    calibration: str | None  # what INT8 was calibrated on
    machine: dict[str, Any]
    rows: list[Row]
    skipped: list[Skipped]

    @property
    def best(self) -> Row | None:
        """The fastest whose mIoU is within `MIOU_MARGIN` of PyTorch eager's; None without data."""
        reference = next((row.miou for row in self.rows if row.runtime == "torch eager"), None)
        if reference is None:
            return None
        good = [
            row for row in self.rows if row.miou is not None and row.miou >= reference - MIOU_MARGIN
        ]
        return min(good, key=lambda row: row.ms_median)

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        best = self.best
        return {
            "schema": 1,
            "machine": self.machine,
            "model": self.model,
            "size": list(self.size),
            "frames": self.frames,
            "calibration": self.calibration,
            "rows": [asdict(row) | {"best": row is best} for row in self.rows],
            "skipped": [asdict(entry) for entry in self.skipped],
        }
