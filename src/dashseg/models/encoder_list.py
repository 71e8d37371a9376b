"""The encoders that a recipe may name, with their parameters and multiply-adds."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch.utils.flop_counter import FlopCounterMode

from dashseg.config import EncoderConfig
from dashseg.config.schema import OwnEncoder
from dashseg.errors import InputError
from dashseg.models.encoders import build_encoder
from dashseg.models.layers import shapes_only
from dashseg.timm_library import PREFIX, import_timm, nearest


@dataclass(frozen=True)
class EncoderCost:
    """What an encoder costs at output stride 32, or at its own if it has only one.

    Attributes:
        multiply_adds: of convolutions, linear layers and attention, for one image.
        problem: why it cannot be used; the numbers are then None.
    """

    name: str
    output_stride: int | None
    parameters: int | None
    multiply_adds: int | None
    problem: str | None = None


def encoder_names(pattern: str | None = None) -> list[str]:
    """Our encoders, then timm's: all, or those whose name without "timm/" matches `pattern`.

    Args:
        pattern: as in a shell: "*dinov2*". Without * or ? it may stand anywhere in the name.

    Raises:
        InputError: nothing matches, or timm cannot be imported.
    """
    names = [*get_args(OwnEncoder), *(PREFIX + name for name in import_timm().list_models())]
    if pattern is None:
        return names
    bare = pattern.removeprefix(PREFIX)
    glob = bare if set("*?[") & set(bare) else f"*{bare}*"
    found = [name for name in names if fnmatch.fnmatch(name.removeprefix(PREFIX), glob)]
    if not found:
        raise InputError(f"no encoder matches '{pattern}'{nearest(bare.strip('*'), names)}")
    return found


def families(names: list[str]) -> dict[str, list[str]]:
    """Names by what stands before their first "_": {"resnet18": …} -> {"resnet": […]}."""
    groups: dict[str, list[str]] = {}
    for name in names:
        first = name.removeprefix(PREFIX).split("_")[0]
        prefix = PREFIX if name.startswith(PREFIX) else ""
        groups.setdefault(prefix + first.rstrip("0123456789"), []).append(name)
    return groups


def encoder_cost(name: str, size: tuple[int, int]) -> EncoderCost:
    """Measure an encoder on the meta device: nothing is downloaded or computed.

    Args:
        size: (height, width) of the image.
    """
    problem = "it cannot be built"
    for stride in (32, 16, 8):
        try:
            with shapes_only():
                encoder: Any = build_encoder(EncoderConfig(name=name, output_stride=stride))
                counter = FlopCounterMode(display=False)
                with counter, torch.no_grad():
                    encoder.eval()(torch.empty(1, 3, *size))
        except InputError as error:
            problem = str(error)
            continue
        except (AssertionError, RuntimeError) as error:
            problem = str(error).partition("\n")[0]
            break
        parameters = sum(p.numel() for p in encoder.parameters())
        return EncoderCost(name, stride, parameters, counter.get_total_flops() // 2)
    return EncoderCost(name, None, None, None, problem)
