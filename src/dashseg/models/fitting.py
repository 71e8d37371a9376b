"""Start a network from another one of another decoder or ASPP: take the layers that fit."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from dashseg.errors import InputError
from dashseg.models.decoders import Decoder, MlpDecoder
from dashseg.models.deeplabv3 import DeepLabV3
from dashseg.models.layers import ConvNormRelu
from dashseg.models.weights import listed

_STEM = "encoder.stem."  # of a plain ViT: as deep as the decoder's skips ask for


def fitting_weights(
    network: DeepLabV3, start: DeepLabV3, without: Collection[str] = ()
) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict of `network` with the layers of `start` that fit, and the names of the others.

    A layer fits if `start` has one of the same name and shapes; a decoder's steps are matched by
    their stride. A convolution and its norm are one layer.

    Args:
        without: names of layers not to take.

    Raises:
        InputError: a layer of the encoder does not fit.
    """
    state, theirs = network.state_dict(), start.state_dict()
    own, known = _layers(network), _layers(start)
    random = []
    for place, (name, keys) in own.items():
        _, found = known.get(place, ("", {}))
        fits = found.keys() == keys.keys() and all(
            theirs[found[part]].shape == state[keys[part]].shape for part in keys
        )
        if fits and name not in without:
            state |= {keys[part]: theirs[found[part]] for part in keys}
        else:
            random.append(name)
    unused = [place for place in known if place not in own]  # as of a deeper encoder
    strange = [name for name in (*random, *unused) if name.startswith("encoder.")]
    if strange := [name for name in strange if not name.startswith(_STEM)]:
        raise InputError(
            f"another encoder: {len(strange)} layers do not fit: {listed(strange)}."
            " model.weights_fit=part needs the same model.encoder"
        )
    return state, random


def _layers(network: DeepLabV3) -> dict[str, tuple[str, dict[str, str]]]:
    """Place in the network -> a layer's name, and {name in the layer: key of the state dict}."""
    layers = {}
    inside = "."  # the ConvNormRelu that was seen last: its parts are no layers of their own
    for name, module in network.named_modules():
        if name.startswith(inside):
            continue
        parts = list(module.state_dict())
        if isinstance(module, ConvNormRelu):
            inside = f"{name}."
        else:
            parts = [part for part in parts if "." not in part]
        if parts:
            place = _by_stride(name, network.decoder)
            layers[place] = name, {part: f"{name}.{part}" for part in parts}
    return layers


def _by_stride(name: str, decoder: Decoder | MlpDecoder) -> str:
    """ "decoder.levels.0.project" -> "decoder.levels.stride 8.project": the step's stride."""
    match name.split("."):
        case ["decoder", "levels" | "projections" as steps, number, *rest]:
            # The first projection of `MlpDecoder` is the context's.
            strides = ["context", *decoder.strides] if steps == "projections" else decoder.strides
            return ".".join(["decoder", steps, f"stride {strides[int(number)]}", *rest])
    return name
