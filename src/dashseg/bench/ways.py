"""A model -> the ways to run it on this machine, each with the file that it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dashseg.bench.rows import Skipped
from dashseg.bench.worker import TORCH, Way
from dashseg.config import InputConfig
from dashseg.errors import InputError
from dashseg.inference import Segmenter
from dashseg.inference.calibration import Frames
from dashseg.inference.export import ExportPlan, export_model
from dashseg.inference.loading import exported_file
from dashseg.inference.runtimes import FORMATS, format_of

EXPORTS = tuple((name, precision) for name, form in FORMATS.items() for precision in form.benched)


def exported_way(segmenter: Segmenter, classes: Path | None = None) -> Way | None:
    """The one way to run an exported model; None: this is a trained one.

    Args:
        classes: palette.yaml of an ONNX file that dashseg did not export.
    """
    path = exported_file(Path(segmenter.name))
    if path is None:
        return None
    runtime = segmenter.runtime
    size = _file_bytes(path)
    return Way(runtime.name, runtime.precision, segmenter.name, segmenter.input, size, classes)


def ways_of(
    segmenter: Segmenter,
    rule: InputConfig,
    calibration: Callable[[], Frames],
    folder: Path,
    say: Callable[[str], None],
    torch: Sequence[str] = TORCH,
    exports: Sequence[tuple[str, str]] = EXPORTS,
) -> tuple[list[Way], list[Skipped]]:
    """Every way to run a trained model; what has to be exported for it is written to `folder`.

    Args:
        rule: of one fixed size.
        calibration: gives the frames that INT8 is calibrated on.
        torch: the ways of PyTorch, of `TORCH`.
        exports: (format, precision) of each file to write.

    Returns:
        PyTorch eager in fp32 first.
    """
    config = segmenter.config.model_copy(update={"input": rule})
    size = sum(value.nbytes for value in segmenter.network.state_dict().values())
    ways = [
        Way(runtime, precision, segmenter.name, config.input, size)
        for runtime in torch
        for precision in ("fp32", "bf16")
    ]
    skipped = []
    for format, precision in exports:
        runtime = FORMATS[format].runtime
        say(f"exporting for {runtime} in {precision}")
        out = folder / f"{format}-{precision}"
        frames = calibration() if precision == "int8" else None
        try:
            export_model(
                segmenter, out, ExportPlan(format, precision, rule.size), calibration=frames
            )
        except InputError as error:  # a package that is not installed
            skipped.append(Skipped(runtime, precision, str(error)))
            continue
        size = _file_bytes(out / FORMATS[format].file)
        ways.append(Way(runtime, precision, str(out), rule, size))
    return ways, skipped


def _file_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in {path, format_of(path).weights(path)})
