"""The model directory, the unit that travels: config.json + model.safetensors.

config.json (schema 1) holds the classes with their colours and the `model` section of the recipe:
architecture, input size rule and normalisation. No code runs on load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dashseg
from dashseg.config import ModelConfig, parse_model
from dashseg.errors import InputError
from dashseg.files import check_file, make_folder, read_json, replace_file, write_json
from dashseg.inference.description import (
    Description,
    check_schema,
    classes_from_json,
    classes_to_json,
)
from dashseg.inference.runtime import Batch
from dashseg.labels import Classes
from dashseg.run_directory import CONFIG, WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from dashseg.inference.segmenter import Segmenter
    from dashseg.models import DeepLabV3


def save_model(
    folder: Path, state: Mapping[str, Tensor], config: ModelConfig, classes: Classes
) -> None:
    """Write a model directory. Both files of an older one are replaced, or none; others stay.

    Args:
        state: the state dict of `build_model(config)`.
    """
    from safetensors.torch import save

    # Where training started from means nothing on another machine.
    values = config.model_dump(
        mode="json", exclude={"weights": True, "weights_fit": True, "encoder": {"weights"}}
    )
    with replace_file(make_folder(folder) / WEIGHTS) as temporary:
        # Not save_file: on a full disk it raises no OSError.
        temporary.write_bytes(save({key: value.contiguous() for key, value in state.items()}))
        write_json(
            folder / CONFIG,
            {
                "schema": 1,
                "dashseg": dashseg.__version__,
                "classes": classes_to_json(classes),
                "model": values,
            },
        )


def write_model_directory(
    model: Segmenter,
    description: Description,
    size: tuple[int, int] | None,
    frames: Sequence[Batch],
    path: Path,
) -> dict[str, Any]:
    """Write a trained model to the folder of `path`, as `runtimes.Format.write` says."""
    state = model.network.state_dict()
    if description.precision == "fp16":
        state = {
            key: value.half() if value.is_floating_point() else value
            for key, value in state.items()
        }
    config = model.config.model_copy(update={"input": description.input})
    save_model(path.parent, state, config, model.classes)
    return {}


def load_model(folder: Path) -> tuple[DeepLabV3, ModelConfig, Classes]:
    """Read a model directory: the network in eval mode, its configuration and classes.

    Raises:
        InputError: files missing or damaged, or weights that do not fit the configuration.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from dashseg.models import build_model
    from dashseg.models.layers import shapes_only

    values = read_json(folder / CONFIG)
    config, classes = _parse(values, folder / CONFIG)
    try:
        with shapes_only():  # no memory yet: the file may not hold what config.json says
            network = build_model(config)
    except RuntimeError as error:
        raise InputError(f"{folder / CONFIG}: the network is too large for any memory") from error
    path = folder / WEIGHTS
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise InputError(f"{path}: not a file; expected the weights as safetensors")
    try:
        check_file(path)
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as safetensors: {error}") from error
    load_weights(network, state, str(path))
    return network.eval(), config, classes


def load_weights(network: DeepLabV3, state: Mapping[str, Tensor], source: str) -> None:
    """Load a state dict whose every key must fit.

    Raises:
        InputError: keys missing, unexpected or of another shape: another architecture; or values
            that are not finite.
    """
    from dashseg.models.layers import restore_buffers
    from dashseg.models.weights import check_values

    own = network.state_dict()
    problems = [f"{key} is missing" for key in own.keys() - state.keys()]
    problems += [f"{key} is unexpected" for key in state.keys() - own.keys()]
    problems += [
        f"{key} is {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own.keys() & state.keys()
        if own[key].shape != state[key].shape
    ]
    if problems:
        raise InputError(
            f"{source}: weights of another architecture: {len(problems)} keys do not fit, such as "
            + ", ".join(sorted(problems)[:3])
        )
    check_values(state, source)
    if any(value.is_meta for value in own.values()):
        # `to_empty` for all, and then to copy, would import SymPy: 0.3 s.
        state = {key: value.to(own[key].dtype, copy=True) for key, value in state.items()}
        network.load_state_dict(state, assign=True)
        restore_buffers(network)
    else:
        network.load_state_dict(state)


def _parse(values: Any, path: Path) -> tuple[ModelConfig, Classes]:
    try:
        check_schema(values, str(path))
        classes = classes_from_json(values["classes"], str(path))
        config = parse_model(values["model"], str(path))
        # Loading reads no other file, and nothing from the hub, whatever the file asks for.
        encoder = config.encoder.model_copy(update={"weights": None})
        config = config.model_copy(update={"weights": None, "encoder": encoder})
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not the config.json of a dashseg model directory") from error
    if len(classes) != config.num_classes:
        raise InputError(
            f"{path}: {len(classes)} classes for a network of {config.num_classes}"
            " (model.num_classes)"
        )
    return config, classes
