"""Night, rain and fog: what changes the light of a frame and never its label.

Everything is computed in linear light, from the scene that the label tells (`scene.py`), in the
order in which light travels: lamps and sky, the wet road that mirrors them, the air between, drops
on the windscreen, and the camera's own noise.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from dashseg.config import AugmentConfig, NightConfig
from dashseg.data.brightness import GROUPS
from dashseg.labels import Classes
from dashseg.training.augment.draws import log_uniform, on_device, uniform
from dashseg.training.augment.night import make_night
from dashseg.training.augment.rain import drops_on_glass, through_air, wet_road
from dashseg.training.augment.scene import Role, read_scene, role_table


class Weather:
    """Turns shares of a batch into night, rain and fog.

    Args:
        config: the `augment` section.
        classes: of the labels; what they are called tells road, vehicles and sky.
    """

    def __init__(self, config: AugmentConfig, classes: Classes) -> None:
        self.config = config
        self._roles = role_table(classes)
        self._labelled_sky = bool((self._roles == Role.SKY).any())

    @property
    def active(self) -> bool:
        """Whether the recipe asks for any."""
        return max(self.config.night.share, self.config.rain.share, self.config.fog.share) > 0

    def __call__(self, image: Tensor, label: Tensor, generator: Generator) -> Tensor:
        """Args: image float (B, 3, H, W) in 0-1, label int64 (B, H, W). Returns the image so."""
        config, count = self.config, len(image)
        night = uniform(count, 0, 1, generator) < config.night.share
        air = uniform(count, 0, 1, generator)  # rain or fog, not both
        rain = air < config.rain.share
        fog = (air >= config.rain.share) & (air < config.rain.share + config.fog.share)
        touched = (night | rain | fog).nonzero().flatten()
        if not len(touched):
            return image
        where = touched.to(image.device)
        changed = self._change(
            image[where], label[where], night[touched], rain[touched], fog[touched], generator
        )
        return image.index_copy(0, where, changed)

    def _change(
        self,
        image: Tensor,
        label: Tensor,
        night: Tensor,
        rain: Tensor,
        fog: Tensor,
        generator: Generator,
    ) -> Tensor:
        config, count, device = self.config, len(image), image.device
        image = image.clamp(0, 1)
        light = image.square()
        scene = read_scene(light, label, self._roles.to(device), self._labelled_sky)
        sight = log_uniform(count, *config.fog.visibility, generator)
        spray = log_uniform(count, *config.rain.visibility, generator)
        # Koschmieder's law: at the visibility, 5 % of the contrast is left.
        haze = (-math.log(0.05) * (fog / sight + rain / spray)).to(device)
        # Air is between white paper, some 5 times as bright as asphalt, and the sky behind it.
        sky = light[:, :, : light.shape[2] // 4].mean((1, 2, 3))
        air = (5 * scene.exposure * sky).sqrt() * uniform(count, 0.8, 1.25, generator).to(device)
        air = air.clamp_max(0.8).view(-1, 1) * light.new_tensor([0.97, 1.0, 1.02])  # (B, 3)
        lamps = torch.zeros_like(scene.depth).unsqueeze(1).expand(-1, 3, -1, -1)

        dark = night.nonzero().flatten().to(device)
        if len(dark):
            made = make_night(light[dark], scene.of(dark), config.night, haze[dark], generator)
            light = light.index_copy(0, dark, made.light)
            lamps = lamps.index_copy(0, dark, made.lamps)
            air = air.index_copy(0, dark, made.air)
        rainy = rain.nonzero().flatten().to(device)
        if len(rainy):
            wet = log_uniform(len(rainy), *config.rain.wetness, generator).to(device)
            soaked = wet_road(light[rainy], lamps[rainy], scene.of(rainy), wet)
            light = light.index_copy(0, rainy, soaked)
        if len(rainy) or bool(fog.any()):
            light = through_air(light, scene, haze, air)
        light = light + scene.enlarge(lamps)
        if len(rainy):
            drops = drops_on_glass(light[rainy], scene.of(rainy), config.rain.drops, generator)
            light = light.index_copy(0, rainy, drops)
        if len(dark):
            light = light.index_copy(0, dark, _expose(light[dark], config.night, generator))
        picture = light.clamp(0, 1).sqrt()
        if len(dark):
            noisy = _add_noise(picture[dark], made.darkness, config.night, generator)
            # What is a night already stays one.
            bright = 255 * image[dark].mean((1, 2, 3), keepdim=True) > GROUPS["night"]
            picture = picture.index_copy(0, dark, torch.where(bright, noisy, image[dark]))
        return picture


def _expose(light: Tensor, config: NightConfig, generator: Generator) -> Tensor:
    """A night exposure, with the shoulder by which cameras keep lamps from clipping at once."""
    gain = log_uniform(len(light), *config.exposure, generator).to(light.device)
    light = light * gain.view(-1, 1, 1, 1)
    white = 4.0  # what is that bright is rendered 1
    return light * (1 + light / white**2) / (1 + light)


def _add_noise(
    picture: Tensor, darkness: Tensor, config: NightConfig, generator: Generator
) -> Tensor:
    """A sensor's noise at high gain: grain in every pixel, coloured blotches some pixels wide.

    Photons arrive by Poisson's law, whose deviation the square root makes even (Anscombe 1948):
    in the encoded picture it is the same in light and dark.
    """
    count, _, height, width = picture.shape
    deviation = uniform(count, *config.noise, generator).to(picture.device) * darkness
    deviation = deviation.view(-1, 1, 1, 1)
    pixels = on_device(generator, picture.device)

    def normal(channels: int, step: int) -> Tensor:
        shape = (count, channels, -(-height // step), -(-width // step))
        return torch.randn(shape, generator=pixels, device=picture.device)

    blotches = F.interpolate(normal(3, 3), (height, width), mode="bilinear", align_corners=False)
    return (picture + deviation * (normal(1, 1) + 0.8 * blotches)).clamp(0, 1)
