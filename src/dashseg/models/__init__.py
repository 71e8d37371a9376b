"""Image (B, 3, H, W), normalised RGB -> logits (B, C, H, W): `build_model(recipe.model)`."""

from __future__ import annotations

from dashseg.config import ModelConfig
from dashseg.models.aspp import ASPP, RATES
from dashseg.models.decoders import Decoder, MlpDecoder
from dashseg.models.deeplabv3 import DeepLabV3
from dashseg.models.encoders import Encoder, build_encoder
from dashseg.models.input import Normalise
from dashseg.models.weights import load_encoder_weights

__all__ = ["DeepLabV3", "Normalise", "build_model", "load_encoder_weights"]


def build_model(config: ModelConfig) -> DeepLabV3:
    """Build the network that `config` describes.

    Weights are random, drawn from torch's global generator; the encoder's are pretrained if
    `config.encoder.weights` is set.

    Raises:
        InputError: the encoder's weights are missing or do not fit, the decoder's levels are not
            ordered from coarse to fine, or timm cannot build its encoder.
    """
    encoder = build_encoder(config.encoder, config.decoder.strides)
    aspp = ASPP(
        encoder.out_channels,
        config.aspp.channels,
        config.aspp.rates or RATES[encoder.output_stride],
        config.aspp.dropout,
    )
    decoder = _decoder(config, encoder)
    if config.encoder.weights is not None:
        load_encoder_weights(encoder, config.encoder.weights)
    return DeepLabV3(encoder, aspp, decoder)


def _decoder(config: ModelConfig, encoder: Encoder) -> Decoder | MlpDecoder:
    channels, skips = config.aspp.channels, encoder.skip_channels
    if config.decoder.name == "mlp":
        skips = {stride: skips[stride] for stride in config.decoder.strides if stride in skips}
        return MlpDecoder(channels, skips, config.decoder.channels, config.num_classes)
    levels = config.decoder.levels if config.decoder.name == "gradual" else ()
    return Decoder(channels, skips, levels, config.num_classes)
