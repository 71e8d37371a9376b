"""A model -> the ways to run it on this machine, each with the file that it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dashseg.bench.rows import Skipped
from dashseg.bench.worker import TORCH, Way
from dashseg.config import InputConfig
from dashseg.errors import InputError
from dashseg.inference import Segmenter
from dashseg.inference.calibration import Frames
from dashseg.inference.export import ExportPlan, export_model
from dashseg.inference.loading import exported_file

_EXPORTS = (
    ("onnxruntime", "onnx", "fp32"),
    ("onnxruntime", "onnx", "int8"),
    ("openvino", "openvino", "fp32"),
    ("openvino", "openvino", "fp16"),
    ("openvino", "openvino", "int8"),
)


def exported_way(segmenter: Segmenter) -> Way | None:
    """The one way to run an exported model; None: it is a trained one."""
    path = exported_file(Path(segmenter.name))
    if path is None:
        return None
    precision = getattr(segmenter.runtime, "precision", "unknown")
    return Way(
        segmenter.runtime.name, precision, segmenter.name, segmenter.input, _file_bytes(path)
    )


def ways_of(
    segmenter: Segmenter,
    rule: InputConfig,
    calibration: Callable[[], Frames],
    folder: Path,
    say: Callable[[str], None],
) -> tuple[list[Way], list[Skipped]]:
    """Every way to run a trained model; what has to be exported for it is written to `folder`.

    Args:
        rule: of one fixed size.
        calibration: gives the frames that INT8 is calibrated on.

    Returns:
        PyTorch eager in fp32 first.
    """
    config = segmenter.config.model_copy(update={"input": rule})
    size = sum(value.nbytes for value in segmenter.network.state_dict().values())
    ways = [
        Way(runtime, precision, segmenter.name, config.input, size)
        for runtime in TORCH
        for precision in ("fp32", "bf16")
    ]
    skipped = []
    for runtime, format, precision in _EXPORTS:
        say(f"exporting for {runtime} in {precision}")
        out = folder / f"{format}-{precision}"
        plan = ExportPlan(format, precision, rule.size)
        try:
            export_model(
                segmenter, out, plan, lambda _: {}, calibration() if precision == "int8" else None
            )
        except InputError as error:  # a package that is not installed
            skipped.append(Skipped(runtime, precision, str(error)))
            continue
        path = exported_file(out)
        assert path is not None
        ways.append(Way(runtime, precision, str(out), rule, _file_bytes(path)))
    return ways, skipped


def _file_bytes(path: Path) -> int:
    weights = path.with_suffix(".bin") if path.suffix == ".xml" else None
    return path.stat().st_size + (weights.stat().st_size if weights else 0)
