"""Night, rain and fog, which change the light of a frame but not its label.

Everything is computed in linear light from the geometry of the scene (`scene.py`), in the order of
the light's path: lamps and sky, the wet road that mirrors them, the air, drops on the windscreen,
the camera's noise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dashseg.config import AugmentConfig, NightConfig
from dashseg.data.partial import Groups
from dashseg.labels import Classes
from dashseg.training.augment.draws import Draws
from dashseg.training.augment.maps import enlarge
from dashseg.training.augment.night import make_night
from dashseg.training.augment.rain import drops_on_glass, through_air, wet_road
from dashseg.training.augment.scene import Role, Scene, read_scene, role_table
from dashseg.training.augment.transfer import constant, sent

_AT_NIGHT = (
    35 / 255
)  # mean level below which a frame is a night's: comma10k's nights have 20, days 49


class Weather:
    """Turns shares of a batch into night, rain and fog.

    A night frame that is chosen for night does not change, and gets no rain or fog.

    Args:
        config: the `augment` section.
        classes: of the labels; road, vehicles and sky are recognised by name.
        groups: of each merged label, the ids of the classes it may be.
    """

    def __init__(self, config: AugmentConfig, classes: Classes, groups: Groups = ()) -> None:
        self.config = config
        self._roles = role_table(classes, groups)
        self._labelled_sky = bool((self._roles == Role.SKY).any())

    @property
    def active(self) -> bool:
        """Whether any share is above 0."""
        return max(self.config.night.share, self.config.rain.share, self.config.fog.share) > 0

    def __call__(self, image: Tensor, label: Tensor, draws: Draws) -> Tensor:
        """Change a batch.

        Args:
            image: float (B, 3, H, W) in 0-1.
            label: int64 (B, H, W).

        Returns:
            The changed image.
        """
        config = self.config
        night = draws.uniform(0, 1) < config.night.share
        air = draws.uniform(0, 1)  # rain or fog, not both
        rain = air < config.rain.share
        fog = (air < config.rain.share + config.fog.share) & ~rain
        for at_night in (False, True):
            frames = ((night == at_night) & (night | rain | fog)).nonzero().flatten()
            if len(frames):
                where = sent(frames, image.device)
                changed = self._change(
                    image[where],
                    label[where],
                    at_night,
                    rain[frames],
                    fog[frames],
                    draws.of(frames),
                )
                image = image.index_copy(0, where, changed)
        return image

    def _change(
        self,
        image: Tensor,
        label: Tensor,
        at_night: bool,
        rain: Tensor,
        fog: Tensor,
        draws: Draws,
    ) -> Tensor:
        """Change frames that are all at night or all by day.

        Args:
            rain: bool (B,) on the CPU, the frames with rain.
            fog: bool (B,) on the CPU, the frames with fog.
        """
        config, device = self.config, image.device
        light = image.square()
        scene = read_scene(light, label, sent(self._roles, device), self._labelled_sky)
        sight = draws.log_uniform(*config.fog.visibility)
        spray = draws.log_uniform(*config.rain.visibility)
        # Koschmieder's law: 5 % of the contrast remains at the distance of visibility.
        haze = sent(-math.log(0.05) * (fog / sight + rain / spray), device)
        if at_night:
            night = make_night(light, scene, config.night, haze, draws)
            light, lamps, air = night.light, night.lamps, night.air
        else:
            lamps, air = None, _daylit_air(light, scene, draws)
        rainy = rain.nonzero().flatten()
        draws_in_rain, rainy = draws.of(rainy), sent(rainy, device)
        if len(rainy):
            wet = sent(draws_in_rain.log_uniform(*config.rain.wetness), device)
            own = None if lamps is None else lamps[rainy]
            light.index_copy_(0, rainy, wet_road(light[rainy], own, scene.of(rainy), wet))
        if bool((rain | fog).any()):
            light = through_air(light, scene, haze, air)
        if lamps is not None:
            light += scene.enlarge(lamps)
        if len(rainy):
            drops = config.rain.drops
            behind = drops_on_glass(light[rainy], scene.of(rainy), drops, draws_in_rain)
            light.index_copy_(0, rainy, behind)
        if not at_night:
            return light.clamp_(0, 1).sqrt_()
        picture = _expose(light, config.night, draws).sqrt_()
        picture = _add_noise(picture, night.darkness, config.night, draws)
        # Frames that were at night already do not change.
        bright = image.mean((1, 2, 3), keepdim=True) > _AT_NIGHT
        return torch.where(bright, picture, image)


def _daylit_air(light: Tensor, scene: Scene, draws: Draws) -> Tensor:
    """(B, 3) colour of thick fog by day: between white (5 times asphalt's light) and the sky."""
    sky = light[:, :, : light.shape[2] // 4].mean((1, 2, 3))
    level = (5 * scene.exposure * sky).sqrt()
    level = level * sent(draws.uniform(0.8, 1.25), light.device)
    return level.clamp_max(0.8).view(-1, 1) * constant((0.97, 1.0, 1.02), light.device)


def _expose(light: Tensor, config: NightConfig, draws: Draws) -> Tensor:
    """Expose a night frame; a soft shoulder keeps lamps from clipping, as in cameras."""
    gain = sent(draws.log_uniform(*config.exposure), light.device)
    light = light * gain.view(-1, 1, 1, 1)
    white = 4.0  # the light that becomes 1
    shoulder = (light / white**2).add_(1).mul_(light)
    return shoulder.div_(light.add_(1)).clamp_(0, 1)


def _add_noise(picture: Tensor, darkness: Tensor, config: NightConfig, draws: Draws) -> Tensor:
    """Add a sensor's noise at high gain: grain in every pixel, and coloured blotches of 3 pixels.

    The noise of photons has a Poisson distribution. The square root, by which the image is encoded,
    makes its deviation the same in light and dark (Anscombe 1948).
    """
    height, width = picture.shape[2:]
    deviation = sent(draws.uniform(*config.noise), picture.device) * darkness
    deviation = deviation.view(-1, 1, 1, 1)

    def normal(channels: int, step: int) -> Tensor:
        shape = channels, -(-height // step), -(-width // step)
        return draws.normal(shape, picture.device) * deviation

    blotches = 0.8 * normal(3, 3)
    return enlarge(blotches, (height, width)).add_(normal(1, 1)).add_(picture).clamp_(0, 1)
