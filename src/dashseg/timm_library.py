"""timm, the library of encoders: importing it, and looking a name up.

A recipe names an encoder of timm's "timm/NAME" or "timm/NAME.TAG", as timm does; the tag says which
pretrained weights. timm takes seconds to import, so only what needs it imports it.
"""

from __future__ import annotations

import difflib
import importlib
from typing import Any

from dashseg.errors import InputError

PREFIX = "timm/"

Channels = tuple[float, float, float]


def import_timm() -> Any:
    """The module timm.

    Raises:
        InputError: timm or torchvision, which it imports, is not installed or does not work.
    """
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise InputError(
            f"encoders named {PREFIX}NAME need the package {package}, of dashseg's extra 'timm':"
            " pip install timm torchvision, with torchvision from the same place as PyTorch"
        ) from error
    except Exception as error:  # torchvision raises RuntimeError without its operators
        raise InputError(f"timm cannot be imported: {misfit(error)}") from error


def misfit(error: Exception) -> str:
    """What to do about an error that torchvision raises when it is imported."""
    import torch

    reason = (str(error) or type(error).__name__).splitlines()[0]
    return (
        f"torchvision does not fit PyTorch {torch.__version__} ({reason}): install torchvision from"
        " the same place as PyTorch, with the command that pytorch.org gives for both"
    )


def architecture(name: str) -> str:
    """ "timm/NAME.TAG" -> "NAME.TAG", if timm has it.

    Raises:
        InputError: timm has no such encoder, or no weights of that tag; the nearest are named.
    """
    timm = import_timm()
    full = name.removeprefix(PREFIX)
    bare, _, tag = full.partition(".")
    if not timm.is_model(bare):
        raise InputError(
            f"timm {timm.__version__} has no encoder '{bare}'{nearest(bare, timm.list_models())};"
            " dashseg summary --encoders lists them all"
        )
    known = timm.models.get_arch_pretrained_cfgs(bare)
    tags = [each.partition(".")[2] for each in known if "." in each]
    if tag and tag not in tags:
        raise InputError(
            f"timm has no weights '{tag}' of {bare}: it has {', '.join(tags) or 'none'}"
        )
    return full


def published_normalisation(name: str) -> tuple[Channels, Channels]:
    """Mean and standard deviation, of RGB pixels in 0-1, that timm lists for "timm/NAME".

    Raises:
        InputError: as `architecture`.
    """
    listed = import_timm().models.get_pretrained_cfg(architecture(name))
    return tuple(listed.mean), tuple(listed.std)


def nearest(word: str, known: list[str]) -> str:
    """ " (nearest: a, b)": the known names most like `word`; empty if none is."""
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f" (nearest: {', '.join(near)})" if near else ""
