"""Whatever the user calls a model -> a Segmenter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from dashseg.errors import InputError
from dashseg.inference.model_directory import CONFIG, WEIGHTS, load_model
from dashseg.inference.segmenter import Segmenter

MODEL_IN_RUN = "model"  # the model directory within a run directory


def load(model: str | Path, *, device: str = "auto", tta: Sequence[str] = ()) -> Segmenter:
    """Load a trained model.

    Args:
        model: a run directory, a model directory, or a hub id "owner/name".
        device: "auto" (the GPU if there is one), "cpu", "cuda", "cuda:1", "mps".
        tta: test-time augmentation: "flip", "multiscale" or both.

    Raises:
        InputError: nothing there, not a model, damaged, or no such device.
    """
    folder, run = _find(str(model))
    network, config, classes = load_model(folder)
    return Segmenter(network, config, classes, str(model), run, _device(device), tta)


def _find(model: str) -> tuple[Path, Path | None]:
    """The model directory, and the run that it belongs to if there is one."""
    path = Path(model)
    if (path / CONFIG).is_file():
        inside = path.name == MODEL_IN_RUN and (path.parent / "recipe.yaml").is_file()
        return path, path.parent if inside else None
    if (path / MODEL_IN_RUN / CONFIG).is_file():
        return path / MODEL_IN_RUN, path
    if (path / "recipe.yaml").is_file():
        raise InputError(
            f"{path}: this run has no model yet; it is written after the first validation."
            f" Go on with: dashseg train --resume {path}"
        )
    if path.exists():
        raise InputError(f"{path}: neither a run nor a model directory: it has no {CONFIG}")
    # "runs/nmae" is a slip of the pen and no hub id: there is a folder runs here.
    if model.count("/") == 1 and not model.startswith((".", "/", "~")) and not path.parent.is_dir():
        return _download(model), None
    raise InputError(f"{path}: no such model; name a run, a model directory or a hub id owner/name")


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=[CONFIG, WEIGHTS]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"'{hub_id}' is no local folder and could not be had from the hub: {reason}"
        ) from error


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device '{name}' is not available on this machine") from error
