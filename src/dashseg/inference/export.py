"""A trained model -> an export folder: one model file that carries all it needs, and export.json.

The file takes uint8 RGB frames (B, h, w, 3) at working size, "image", and gives float32 logits
(B, C, h', w'), "logits", at the stride of the network's decoder. The normalisation is inside; the
logits are not enlarged. The formats stand in `runtimes.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dashseg
from dashseg.config import SMALLEST_SIDE, InputConfig
from dashseg.errors import InputError
from dashseg.files import sha256, write_json
from dashseg.inference.calibration import Frames
from dashseg.inference.contract import write_contract
from dashseg.inference.description import Description
from dashseg.inference.loading import load
from dashseg.inference.runtimes import EXPORTED, FORMATS, PRECISIONS
from dashseg.inference.segmenter import Segmenter
from dashseg.input_size import to_working_size
from dashseg.labels import Image
from dashseg.outputs import replace_folder, require_empty
from dashseg.run_directory import EXPORT


@dataclass(frozen=True)
class ExportPlan:
    """What to write.

    Args:
        format: a key of `runtimes.FORMATS`.
        precision: one that the format has.
        size: the only (H, W) that the file takes; "dynamic": any size; None: any size where the
            format can, else the model's own working size.
    """

    format: str = "onnx"
    precision: str = "fp32"
    size: tuple[int, int] | Literal["dynamic"] | None = None


def size_rule(
    plan: ExportPlan, input: InputConfig, calibrated: bool
) -> tuple[InputConfig, tuple[int, int] | None]:
    """How frames are brought to the size that the file takes, and that size if it is fixed.

    Frames are squashed to a fixed size, whatever their aspect ratio.

    Args:
        input: the model's own size rule, which a file of dynamic size keeps.
        calibrated: whether there are frames to calibrate INT8 on.

    Raises:
        InputError: the format does not have this precision or cannot take this size.
    """
    for name, value, known in (
        ("format", plan.format, tuple(FORMATS)),
        ("precision", plan.precision, PRECISIONS),
    ):
        if value not in known:
            raise InputError(f"--{name} {value}: choose of {', '.join(known)}")
    form = FORMATS[plan.format]
    if plan.precision not in form.precisions:
        others = [name for name, other in FORMATS.items() if plan.precision in other.precisions]
        raise InputError(
            f"--format {plan.format} has no {plan.precision.upper()}: choose"
            f" {' or '.join(form.precisions)}, or {' or '.join(others)}"
        )
    if plan.precision == "int8" and not calibrated:
        raise InputError(
            "INT8 is calibrated on frames of the kind it will see: name them with --calibrate DIR"
        )
    size = plan.size
    if plan.precision in form.fixed_size:
        if size == "dynamic":
            raise InputError(
                f"{plan.format} computes {plan.precision.upper()} networks of dynamic size wrongly"
                " on CPUs: name a size with --size HxW"
            )
        size = size or input.size
        if size is None:
            raise InputError(
                f"a {plan.precision.upper()} {plan.format} model takes frames of one size: name it"
                " with --size HxW"
            )
    if size is None or size == "dynamic":
        return input, None
    return squash_rule(input, size), size


def squash_rule(input: InputConfig, size: tuple[int, int]) -> InputConfig:
    """The size rule by which every frame is squashed to one size.

    Raises:
        InputError: it is too small for a network.
    """
    if min(size) < SMALLEST_SIDE:
        raise InputError(
            f"--size {size[0]}x{size[1]} is too small: networks take"
            f" {SMALLEST_SIDE}x{SMALLEST_SIDE} and up"
        )
    return input.model_copy(update={"size": size, "resize": "squash"})


def export_model(
    model: Segmenter,
    out: Path,
    plan: ExportPlan,
    accept: Callable[[Segmenter], dict[str, Any]] = lambda exported: {},
    calibration: Frames | None = None,
) -> dict[str, Any]:
    """Write an export folder, whole or not at all.

    Args:
        model: a PyTorch model.
        out: new folder; gets the format's file (model.onnx, or model.xml and model.bin, or the
            files of a model directory) and export.json. Beside a file of another runtime than
            PyTorch lie README.md and example.py, which run it without dashseg.
        accept: gets the exported model, loaded; the figures it returns go into export.json. If it
            raises, the export stops and leaves nothing.
        calibration: frames of any size, for INT8; they are read more than once.

    Returns:
        What export.json holds.

    Raises:
        InputError: `out` is taken or cannot be written; a package is missing; `model` is an
            exported model; ONNX does not have a layer of it; the plan is impossible.

    >>> import tempfile
    >>> from pathlib import Path
    >>> import dashseg
    >>> from dashseg.inference.export import ExportPlan, export_model
    >>> trained = dashseg.load("small", device="cpu")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     values = export_model(trained, Path(folder) / "half", ExportPlan("torch", "fp16"))
    >>> values["format"], values["precision"], values["size"]
    ('torch', 'fp16', 'dynamic')
    """
    rule, fixed = size_rule(plan, model.config.input, calibration is not None)
    require_empty(out)
    form = FORMATS[plan.format]
    description = Description(model.classes, rule, plan.precision)
    frames = [] if calibration is None else _Fitted(calibration, rule)
    with replace_folder(out, last="export.json") as folder:
        report = form.write(model, description, fixed, frames, folder / form.file)
        # Before it is opened: OpenVINO's files are trusted by their digests.
        digests = {path.name: sha256(path) for path in sorted(folder.iterdir())}
        write_json(folder / EXPORT, {"sha256": digests})
        exported = load(folder, device="cpu")
        if plan.format in EXPORTED:
            write_contract(folder, model.name, description, exported.runtime)
        values = {
            "schema": 1,
            "dashseg": dashseg.__version__,
            "model": model.name,
            "format": plan.format,
            "precision": plan.precision,
            "size": list(fixed) if fixed else "dynamic",
            "calibration_frames": len(frames) if plan.precision == "int8" else None,
            "bytes": sum((folder / name).stat().st_size for name in digests),
            "sha256": digests,
            **report,
            **accept(exported),
        }
        write_json(folder / EXPORT, values)
    return values


@dataclass(frozen=True)
class _Fitted(Sequence[Image]):
    """Calibration frames as the file takes them: uint8 (1, h, w, 3), made when asked for."""

    images: Frames
    rule: InputConfig

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Image:  # type: ignore[override]  # no slices
        return to_working_size(self.images[index], self.rule)[None]
