"""`dashseg export`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashseg.cli import options
from dashseg.outputs import require_empty
from dashseg.progress import progress
from dashseg.verbs import data_settings

if TYPE_CHECKING:
    from dashseg.data import Dataset
    from dashseg.inference import Segmenter
    from dashseg.inference.calibration import Frames

_DRAWN = "synthetic:8"  # what an export is compared on by default
_COMPARED = 32  # frames without labels: enough for the share of pixels that agree


def export(
    model: options.Model,
    out: Annotated[Path, typer.Option("--out", help="New folder: gets the file and export.json.")],
    format: Annotated[
        str, typer.Option("--format", help="onnx, openvino, or torch (a model directory).")
    ] = "onnx",
    precision: Annotated[str, typer.Option("--precision", help="fp32, fp16 or int8.")] = "fp32",
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            help="HxW: frames are squashed to this size; dynamic: any. Default: dynamic, and the"
            " model's own size for INT8 in OpenVINO.",
        ),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option("--calibrate", help="For INT8: a data set, or a folder with images in it."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Labelled frames: adds the mIoU before and after."),
    ] = None,
    dataset: options.Dataset = None,
    split: Annotated[str, typer.Option("--split", help="Side of --data: val, train, all.")] = "val",
    frames: Annotated[
        int,
        typer.Option("--frames", min=1, help="Most frames from --calibrate and from --data."),
    ] = 300,
    min_agreement: Annotated[
        float | None,
        typer.Option(
            "--min-agreement", min=0, max=1,
            help="Smallest share of pixels with the same label. Default: 0.9995 for fp32, 0.995 for"
            " fp16, 0.97 for int8.",
        ),
    ] = None,
    max_miou_loss: Annotated[
        float | None,
        typer.Option(
            "--max-miou-loss", min=0, max=1,
            help="Largest loss of mIoU, 0 to 1. Default: 0.001 for fp32, 0.005 for fp16, 0.01 for"
            " int8.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:  # fmt: skip
    """Write a model for ONNX Runtime or OpenVINO, and compare it with the trained one."""
    require_empty(out)
    fixed = options.parse_size(size) if size and size != "dynamic" else None

    from dashseg.config import DataConfig
    from dashseg.data import open_dataset
    from dashseg.evaluation.comparison import TOLERANCES, Tolerance, compare
    from dashseg.inference import load
    from dashseg.inference.calibration import calibration_frames, images_of, spread
    from dashseg.inference.export import ExportPlan, export_model, size_rule

    plan = ExportPlan(format, precision, "dynamic" if size == "dynamic" else fixed)
    trained = load(model, device="cpu")
    size_rule(plan, trained.config.input, calibrate is not None)  # before any frame is read
    calibration = None
    if calibrate is not None:
        config = data_settings(model, calibrate, dataset)
        calibration = calibration_frames(config, frames)
    if data is not None:
        labelled = open_dataset(data_settings(model, data, dataset), split)
        shown: Frames | Dataset = spread(labelled, frames)
    elif calibration is not None:
        shown = calibration.spread(_COMPARED)
    else:
        shown = images_of(open_dataset(DataConfig(root=_DRAWN)))
    allowed = TOLERANCES[precision]
    tolerance = Tolerance(
        allowed.label_agreement if min_agreement is None else min_agreement,
        allowed.miou_loss if max_miou_loss is None else max_miou_loss,
    )

    def accept(exported: Segmenter) -> dict[str, Any]:
        with progress("comparing", "frames") as advance:
            comparison = compare(trained, exported, shown, advance)
        comparison.check(tolerance)
        return comparison.to_dict() | {"compared_on": data or calibrate or _DRAWN}

    if precision == "int8" and calibration is not None:
        print(f"calibrating on {len(calibration)} frames", file=sys.stderr)
    values = export_model(trained, out, plan, accept, calibration)
    if as_json:
        print(json.dumps(values))
    else:
        _print(values, out)


def _print(values: dict[str, Any], out: Path) -> None:
    print(
        f"{out}: {values['format']} {values['precision']}, {values['bytes'] / 1e6:.1f} MB,"
        f" size {values['size']}"
    )
    print(
        f"against the trained model on {values['frames']} frames of {values['compared_on']}:"
        f" labels agree on {values['label_agreement']:.4%} of pixels,"
        f" largest logit difference {values['largest_logit_difference']:.3g}"
    )
    if values["miou_before"] is not None:
        print(f"mIoU {values['miou_before']:.4f} before, {values['miou_after']:.4f} after")
        for name, before in values["iou_before"].items():
            if before is not None:
                print(f"  {name} {before:.4f} before, {values['iou_after'][name]:.4f} after")
