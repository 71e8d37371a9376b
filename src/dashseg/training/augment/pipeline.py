"""The augmentation of a batch of frames and labels, on the training device.

Random numbers depend only on seed, step and a frame's place in the batch. So a resumed run draws
the same numbers as an uninterrupted one, and several processes draw the same as one. The order is:
faded paint; bonnets; style; night, rain and fog, which need the whole road; one resampling of image
and label; blur, colour, noise and JPEG; holes. Outside the frame and in holes the image has the
mean colour and the label is 255.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from kornia.enhance import jpeg_codec_differentiable
from kornia.filters import gaussian_blur2d
from torch import Tensor

from dashseg.config import AugmentConfig
from dashseg.data.partial import Groups
from dashseg.labels import COMMA10K, IGNORE, Classes
from dashseg.training.augment.bonnet import Bonnets
from dashseg.training.augment.draws import Draws
from dashseg.training.augment.dropout import coarse_holes
from dashseg.training.augment.geometry import draw_geometry
from dashseg.training.augment.paint import FadedPaint
from dashseg.training.augment.style import Style
from dashseg.training.augment.transfer import constant, sent
from dashseg.training.augment.weather import Weather
from dashseg.training.soft_labels import SoftLabels

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, of R, G, B


class Views(NamedTuple):
    """An augmented batch.

    image: float32 (B, 3, h, w) RGB in 0-255. label: int64 (B, h, w). weak: float32 (n, 3, h, w) in
    0-255, some of the frames with the same geometry and no other change. soft: a teacher's
    predictions with the same geometry; none in holes and on pasted bonnets.
    """

    image: Tensor
    label: Tensor
    weak: Tensor | None = None
    soft: SoftLabels | None = None


class Augment:
    """The recipe's augmentation.

    Args:
        config: the `augment` section.
        mean: RGB in 0-1, the colour outside the frame, which is 0 after normalisation.
        classes: of the labels. Paint, bonnets, night, rain and fog recognise them by name.
        groups: of each merged label, the ids of the classes it may be.

    Raises:
        InputError: as `FadedPaint`, `Bonnets` and `Style`, which reads its references.
    """

    def __init__(
        self,
        config: AugmentConfig,
        mean: tuple[float, float, float],
        classes: Classes = COMMA10K,
        groups: Groups = (),
    ) -> None:
        self.config = config
        self.mean = mean
        self.paint = FadedPaint(config.paint, classes)
        self.bonnets = Bonnets(config, classes, groups)
        self.style = Style(config.style)
        self.weather = Weather(config, classes, groups)

    def __call__(self, image: Tensor, label: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Augment a batch.

        Args:
            image: uint8 (B, 3, H, W) RGB.
            label: int64 (B, H, W), 255 = ignore.
            draws: of these frames.

        Returns:
            image float32 (B, 3, h, w) in 0-255, label int64 (B, h, w); h, w is the crop.
        """
        image, label, *_ = self.views(image, label, draws)
        return image, label

    def views(
        self,
        image: Tensor,
        label: Tensor,
        draws: Draws,
        places: Tensor | None = None,
        soft: SoftLabels | None = None,
    ) -> Views:
        """As calling it, with a weak view of the frames at `places`, int64 (n,), and predictions.

        Args:
            soft: a teacher's predictions of the frames.
        """
        # Contiguous planes are faster to warp than channels last, even with the copy.
        image = image.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
        before = image
        if self.config.paint.share > 0:  # before a bonnet of another frame can hide the road
            image = self.paint(image, label, draws)
        if self.config.bonnet > 0:  # before the weather, which changes bonnets too
            bare = label
            image, label = self.bonnets(image, label, draws)
            if soft is not None:  # the teacher has not seen them
                soft = soft.without(label != bare)
        if self.config.style.share > 0:  # before the weather, which reads the frame's light
            image = self.style(image, draws)
        if self.weather.active:  # before the crop: it finds lamps' places on the whole road
            image = self.weather(image, label, draws)
        if places is not None and image is not before:  # one grid for both
            image = torch.cat([image, before], 1)
        size = (image.shape[-2], image.shape[-1])
        geometry = draw_geometry(size, self.config, draws, image.device)
        image, label, hidden = geometry.warp(image, label)
        if soft is not None:
            soft = geometry.warp_soft(soft)
        weak = None if places is None else self._weak(image[places, -3:], hidden, places)
        if image.shape[1] > 3:
            image = image[:, :3].contiguous()
        image = self._light(image, draws).clamp_(0, 1)
        if self.config.dropout.share > 0:
            holes = sent(coarse_holes(label.shape, self.config.dropout, draws), label.device)
            label = label.masked_fill(holes, IGNORE)
            hidden = holes if hidden is None else hidden | holes
            if soft is not None:
                soft = soft.without(holes)
        if hidden is not None:  # after `_light`, which would change the mean colour
            fill = constant(self.mean, image.device).view(1, 3, 1, 1)
            image = torch.where(hidden.unsqueeze(1), fill, image)
        return Views(image.mul_(255), label, weak, soft)

    def _weak(self, image: Tensor, hidden: Tensor | None, places: Tensor) -> Tensor:
        if hidden is not None:
            fill = constant(self.mean, image.device).view(1, 3, 1, 1)
            image = torch.where(hidden[places].unsqueeze(1), fill, image)
        return image * 255

    def _light(self, image: Tensor, draws: Draws) -> Tensor:
        config = self.config
        if config.blur > 0:
            image = self._blur(image, draws)
        if config.brightness or config.contrast or config.saturation or config.hue:
            image = self._colour(image, draws)
        if config.gamma != (1, 1):
            gamma = sent(draws.log_uniform(*config.gamma), image.device)
            image = image.clamp_(0, 1).pow_(gamma.view(-1, 1, 1, 1))
        if config.noise > 0:
            deviation = sent(draws.uniform(0, config.noise), image.device).view(-1, 1, 1, 1)
            noise = draws.normal(tuple(image.shape[1:]), image.device)
            image = noise.mul_(deviation).add_(image)
        if config.jpeg.share > 0:  # last, as in a camera
            image = self._compress(image, draws)
        return image

    def _colour(self, image: Tensor, draws: Draws) -> Tensor:
        """Hue, saturation, brightness and contrast, which are one matrix in RGB per frame."""
        config = self.config
        turn = 2 * math.pi * draws.uniform(-config.hue, config.hue)
        saturation = draws.uniform(1 - config.saturation, 1 + config.saturation)
        brightness = draws.uniform(1 - config.brightness, 1 + config.brightness)
        contrast = draws.uniform(1 - config.contrast, 1 + config.contrast)
        matrix = _chroma_matrix(turn, saturation) * brightness.view(-1, 1, 1)
        matrix, contrast = sent(matrix, image.device), sent(contrast, image.device)
        luma = constant(_LUMA, image.device)
        mean = torch.einsum("c,bcd,bd->b", luma, matrix, image.mean((2, 3)))  # (B,)
        pixels = torch.bmm(matrix * contrast.view(-1, 1, 1), image.flatten(2))  # (B, 3, H·W)
        return pixels.view_as(image).add_(((1 - contrast) * mean).view(-1, 1, 1, 1))

    def _blur(self, image: Tensor, draws: Draws) -> Tensor:
        low, high = self.config.blur_sigma
        frames = draws.chosen(self.config.blur)
        sigma = draws.uniform(low, high)[frames].view(-1, 1).expand(-1, 2)
        if len(frames):
            width = 2 * math.ceil(2 * high) + 1  # pixels: ± two deviations, 95 %
            frames = sent(frames, image.device)
            # `sigma` stays on the CPU, where kornia (since 0.9) checks it without waiting.
            blurred = gaussian_blur2d(image[frames], (width, width), sigma)
            image = image.index_copy(0, frames, blurred)
        return image

    def _compress(self, image: Tensor, draws: Draws) -> Tensor:
        frames = draws.chosen(self.config.jpeg.share)
        quality = draws.uniform(*self.config.jpeg.quality)[frames]
        if len(frames):
            frames, quality = sent(frames, image.device), sent(quality, image.device)
            with torch.no_grad():
                small = jpeg_codec_differentiable(image[frames].clamp(0, 1), quality)
            image = image.index_copy(0, frames, small)
        return image


def _chroma_matrix(turn: Tensor, saturation: Tensor) -> Tensor:
    """(B,) radians, (B,) factors -> (B, 3, 3) RGB matrices that rotate and scale chroma.

    Luma stays. The rotation is in the chroma plane of YIQ, which is linear, unlike HSV's hue.
    """
    to_yiq = torch.tensor(
        [_LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)]  # FCC, NTSC 1953
    )
    cos, sin, zero = saturation * turn.cos(), saturation * turn.sin(), torch.zeros_like(turn)
    rows = [torch.ones_like(turn), zero, zero, zero, cos, -sin, zero, sin, cos]
    return to_yiq.inverse() @ torch.stack(rows, 1).view(-1, 3, 3) @ to_yiq
