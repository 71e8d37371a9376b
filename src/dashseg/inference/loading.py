"""Whatever the user calls a model -> a Segmenter: `load`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import resources
from pathlib import Path

from dashseg.errors import InputError, command
from dashseg.hub_client import download_model
from dashseg.inference.description import read_foreign
from dashseg.inference.runtimes import EXPORTED, FORMATS, format_of
from dashseg.inference.segmenter import Segmenter
from dashseg.run_directory import CONFIG, EXPORT, RunDirectory

_WEIGHTS = (".ckpt", ".pt", ".pth", ".safetensors")  # of files, not of names on the hub


def load(
    model: str | Path,
    *,
    device: str = "auto",
    tta: Sequence[str] = (),
    classes: str | Path | None = None,
    many: bool = False,
    half: bool = False,
) -> Segmenter:
    """Load a trained model.

    Args:
        model: a run directory, a model directory, a model that comes with dashseg ("small"), a hub
            id "owner/name" or "owner/name@revision", an exported folder, or the .onnx or .xml in
            it.
        device: "auto" (the GPU if there is one), "cpu", "cuda", "cuda:1", "mps".
        tta: test-time augmentation: "flip", "multiscale" or both.
        classes: palette.yaml of an ONNX file that dashseg did not export: its classes, and how it
            takes frames (`dashseg.inference.description.read_foreign`).
        many: for a long row of frames: on a CPU, ONNX Runtime and OpenVINO compute several at once,
            each on one core, which takes less of the processor than all cores for one frame. One
            frame alone takes longer.
        half: on an NVIDIA GPU, compute a trained model in float16 if that keeps 99.9 % of the label
            of the first frames. For labels; scores and probabilities change in the third digit.

    Raises:
        InputError: nothing there, not a model, damaged, or no such device.

    >>> from dashseg.inference import load
    >>> segment = load("small", device="cpu")
    >>> segment.classes.names
    ('road', 'lane markings', 'undrivable', 'movable', 'my car')
    """
    path, run = find_model(str(model))
    palette = None if classes is None else Path(classes)
    return _open(str(model), path, run, device, tuple(tta), palette, many, half)


def _open(
    model: str,
    path: Path,
    run: Path | None,
    device: str,
    tta: tuple[str, ...],
    classes: Path | None,
    many: bool,
    half: bool,
) -> Segmenter:
    """As `load`, of what `_find` found."""
    form = format_of(path)
    if classes is not None and not form.foreign:
        raise InputError(f"{model} carries its own classes: leave --classes out")
    foreign = None if classes is None else read_foreign(classes)
    runtime, description = form.open(path, device, foreign, many)
    if half and form is FORMATS["torch"]:
        from dashseg.inference.torch_runtime import TorchRuntime

        assert isinstance(runtime, TorchRuntime)
        if runtime.device.type == "cuda":
            runtime.try_half()
    # Absolute: the process that reopens it may run in another folder.
    own_run, own_classes = (None if file is None else file.absolute() for file in (run, classes))
    reopen = partial(_open, model, path.absolute(), own_run, device, tta, own_classes, many, half)
    return Segmenter(
        runtime, description.input, description.classes, model, run, tta, form.weights(path), reopen
    )


def model_files(model: str | Path) -> list[Path]:
    """The files that `load` reads: in one folder on another machine they are the same model.

    The first is what to load there: an exported file, or the config.json of a model directory.

    Raises:
        InputError: as `load`, but for damage.
    """
    path, _ = find_model(str(model))
    weights, note = format_of(path).weights(path), path.with_name(EXPORT)
    return [
        path,
        *dict.fromkeys(file for file in (weights, note) if file != path and file.exists()),
    ]


def pretrained() -> dict[str, Path]:
    """The models that come with dashseg: name -> model directory."""
    folder = Path(str(resources.files("dashseg"))) / "pretrained"
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CONFIG}"))}


def find_run(path: Path) -> Path | None:
    """The run that `path` is, or whose model directory it is; None: it belongs to no run."""
    inside = path == RunDirectory(path.parent).model and (path / CONFIG).is_file()
    run = path.parent if inside else path
    return run if RunDirectory(run).recipe.is_file() else None


def exported_file(path: Path) -> Path | None:
    """The file of an exported model that `path` is, belongs to or holds; None: there is none.

    Raises:
        InputError: a folder that holds several.
    """
    for form in EXPORTED.values():
        file = path.with_suffix(form.suffix)
        if path in (file, form.weights(file)) and path.is_file() and file.is_file():
            return file
    found = [path / form.file for form in EXPORTED.values() if (path / form.file).is_file()]
    if len(found) > 1:
        raise InputError(
            f"{path}: holds {' and '.join(file.name for file in found)}: name one of them"
        )
    return found[0] if found else None


def find_model(model: str) -> tuple[Path, Path | None]:
    """The exported file or the model directory's config.json, and the run that it is of, if any."""
    path = Path(model)
    file = exported_file(path)
    if file is not None:
        return file, None
    if not path.exists() and model in pretrained():
        return pretrained()[model] / CONFIG, None
    if (path / CONFIG).is_file():
        return path / CONFIG, find_run(path)
    run = RunDirectory(path)
    if (run.model / CONFIG).is_file():
        return run.model / CONFIG, path
    if run.recipe.is_file():
        raise InputError(
            f"{path}: this run has no model yet; it is written after the first validation."
            f" Resume it: {command(f'train --resume {path}')}"
        )
    if path.is_file():
        raise InputError(
            f"{path}: not a model; name a run, a model directory, an exported .onnx file or"
            " OpenVINO .xml"
        )
    if path.exists():
        raise InputError(
            f"{path}: neither a run nor a model directory: it has no {CONFIG}, and no"
            f" {' or '.join(form.file for form in EXPORTED.values())} of an export"
        )
    if path.suffix in [form.suffix for form in EXPORTED.values()]:
        raise InputError(f"{path}: no such file")
    # "runs/nmae" is a typing error and not a hub id, whether a folder runs exists here or not.
    repository = model.partition("@")[0]
    local = model.startswith((".", "/", "~", "runs/")) or Path(repository).suffix in _WEIGHTS
    if repository.count("/") == 1 and not local and not Path(repository).parent.is_dir():
        return download_model(model) / CONFIG, None
    raise InputError(
        f"{path}: no such model; name a run, a model directory, {' or '.join(pretrained())} (which"
        " comes with dashseg), a hub id owner/name, or an exported .onnx or .xml"
    )
