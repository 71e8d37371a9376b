"""An exported model -> the time and the precision of each layer, as its runtime executes it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dashseg.bench.machine import describe_machine
from dashseg.errors import InputError, command
from dashseg.inference import load
from dashseg.inference.layers import Layer, onnx_layers, openvino_layers
from dashseg.inference.loading import exported_file
from dashseg.input_size import working_size

_LAYERS = {"openvino": openvino_layers, "onnxruntime": onnx_layers}


@dataclass(frozen=True)
class Profile:
    """The layers of one exported model on this machine.

    Attributes:
        size: (H, W) that the network saw.
        precision: of its file.
        layers: in order of execution; what took no time is left out.
    """

    model: str
    runtime: str
    precision: str
    size: tuple[int, int]
    machine: dict[str, Any]
    layers: list[Layer]

    @property
    def ms(self) -> float:
        """Of all layers. Writing down their times makes a run slower than it is without."""
        return sum(layer.ms for layer in self.layers)

    def shares(self) -> dict[str, float]:
        """Precision -> its share of the time, largest first."""
        sums: dict[str, float] = {}
        for layer in self.layers:
            sums[layer.precision] = sums.get(layer.precision, 0) + layer.ms
        return {name: sums[name] / self.ms for name in sorted(sums, key=lambda name: -sums[name])}

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "schema": 1,
            "machine": self.machine,
            "model": self.model,
            "runtime": self.runtime,
            "precision": self.precision,
            "size": list(self.size),
            "ms": self.ms,
            "precisions": self.shares(),
            "layers": [asdict(layer) | {"share": layer.ms / self.ms} for layer in self.layers],
        }


def profile_layers(model: str, size: tuple[int, int] | None, runs: int) -> Profile:
    """Run an exported model `runs` times on noise under its runtime's profiler.

    Args:
        model: an export, or its file.
        size: (H, W) that the network sees; None: the model's own.

    Raises:
        InputError: not an export, or a size that the file cannot take.
    """
    segmenter = load(model, device="cpu")
    runtime = segmenter.runtime
    path = exported_file(Path(segmenter.name))
    if path is None or runtime.name not in _LAYERS:
        raise InputError(
            f"{model}: PyTorch runs it, and --layers needs an ONNX or OpenVINO file: export it"
            f" with {command('export')} {model} --format openvino --out FOLDER"
        )
    if runtime.size is not None and size not in (None, runtime.size):
        height, width = runtime.size
        raise InputError(f"{model} takes frames of {height}x{width} only: leave --size out")
    size = runtime.size or size or working_size((874, 1164), segmenter.input)  # comma10k's frames
    frame = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    layers = _LAYERS[runtime.name](path, frame, runs)
    return Profile(model, runtime.name, runtime.precision, size, describe_machine(), layers)
