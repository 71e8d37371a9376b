"""A model -> how fast each runtime is on this machine, and what that costs in accuracy: `bench`."""

from dashseg.bench.rows import Bench, Row, Skipped
from dashseg.bench.run import BenchOptions, bench

__all__ = ["Bench", "BenchOptions", "Row", "Skipped", "bench"]
