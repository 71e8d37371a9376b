"""Whatever the user calls a model -> a Segmenter."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from dashseg.errors import InputError
from dashseg.inference.segmenter import Segmenter
from dashseg.run_directory import CONFIG, WEIGHTS, RunDirectory

ONNX, OPENVINO = "model.onnx", "model.xml"  # what an export folder holds one of


def load(
    model: str | Path,
    *,
    device: str = "auto",
    tta: Sequence[str] = (),
    classes: str | Path | None = None,
) -> Segmenter:
    """Load a trained model.

    Args:
        model: a run directory, a model directory, a model that comes with dashseg ("small"), a hub
            id "owner/name", an exported folder, or the .onnx or .xml in it.
        device: "auto" (the GPU if there is one), "cpu", "cuda", "cuda:1", "mps".
        tta: test-time augmentation: "flip", "multiscale" or both.
        classes: a palette.yaml with the classes of an ONNX file that dashseg did not export.

    Raises:
        InputError: nothing there, not a model, damaged, or no such device.
    """
    path = exported_file(Path(model))
    if classes is not None and (path is None or path.suffix != ".onnx"):
        raise InputError(f"{model} carries its own classes: leave --classes out")
    if path is not None:
        return _load_exported(path, str(model), device, tta, classes)
    from dashseg.inference.model_directory import load_model
    from dashseg.inference.torch_runtime import TorchRuntime

    folder, run = _find(str(model))
    network, config, palette = load_model(folder)
    runtime = TorchRuntime(network, config, device)
    return Segmenter(runtime, config.input, palette, str(model), run, tta, folder / WEIGHTS)


def pretrained() -> dict[str, Path]:
    """The models that come with dashseg: name -> model directory."""
    folder = Path(str(resources.files("dashseg"))) / "pretrained"
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CONFIG}"))}


def _load_exported(
    path: Path, name: str, device: str, tta: Sequence[str], classes: str | Path | None
) -> Segmenter:
    if path.suffix == ".onnx":
        from dashseg.data.folder import read_palette
        from dashseg.inference.onnx_runtime import open_onnx

        palette = None if classes is None else read_palette(Path(classes))
        runtime, description = open_onnx(path, device, palette)
        return Segmenter(runtime, description.input, description.classes, name, None, tta, path)
    from dashseg.inference.openvino_runtime import open_openvino

    openvino, description = open_openvino(path, device)
    weights = path.with_suffix(".bin")
    return Segmenter(openvino, description.input, description.classes, name, None, tta, weights)


def find_run(path: Path) -> Path | None:
    """The run that `path` is or holds the model of; None: it is of no run."""
    inside = path == RunDirectory(path.parent).model and (path / CONFIG).is_file()
    run = path.parent if inside else path
    return run if RunDirectory(run).recipe.is_file() else None


def exported_file(path: Path) -> Path | None:
    """The .onnx or .xml file that `path` is or holds; None: it is no exported model."""
    if path.is_file():
        if path.suffix in (".onnx", ".xml"):
            return path
        if path.suffix == ".bin" and path.with_suffix(".xml").is_file():
            return path.with_suffix(".xml")
    found = [path / name for name in (ONNX, OPENVINO) if (path / name).is_file()]
    if len(found) > 1:
        raise InputError(f"{path}: holds {ONNX} and {OPENVINO}: name one of them")
    return found[0] if found else None


def _find(model: str) -> tuple[Path, Path | None]:
    """The model directory, and the run that it belongs to if there is one."""
    path = Path(model)
    if not path.exists() and model in pretrained():
        return pretrained()[model], None
    if (path / CONFIG).is_file():
        return path, find_run(path)
    run = RunDirectory(path)
    if (run.model / CONFIG).is_file():
        return run.model, path
    if run.recipe.is_file():
        raise InputError(
            f"{path}: this run has no model yet; it is written after the first validation."
            f" Go on with: dashseg train --resume {path}"
        )
    if path.is_file():
        raise InputError(
            f"{path}: not a model; name a run, a model directory, an exported .onnx file or"
            " OpenVINO .xml"
        )
    if path.exists():
        raise InputError(
            f"{path}: neither a run nor a model directory: it has no {CONFIG}, and no {ONNX} or"
            f" {OPENVINO} of an export"
        )
    if path.suffix in (".onnx", ".xml"):
        raise InputError(f"{path}: no such file")
    # "runs/nmae" is a slip of the pen and no hub id: there is a folder runs here.
    if model.count("/") == 1 and not model.startswith((".", "/", "~")) and not path.parent.is_dir():
        return _download(model), None
    raise InputError(
        f"{path}: no such model; name a run, a model directory, {' or '.join(pretrained())} (which"
        " comes with dashseg), a hub id owner/name, or an exported .onnx or .xml"
    )


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=[CONFIG, WEIGHTS]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"'{hub_id}' is no folder here (train or name the run, if it is one), and could not be"
            f" had from the hub: {reason}"
        ) from error
