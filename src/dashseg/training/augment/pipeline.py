"""Random changes to a batch of frames and labels, on the device that trains.

All randomness is drawn from a generator that the caller seeds by step, so that a resumed run sees
the changes that it would have seen. The geometry is one affine resampling of image and label
together; where it shows nothing, the image is the mean colour and the label 255.
"""

from __future__ import annotations

import math

import torch
from kornia.filters import gaussian_blur2d
from kornia.geometry.transform import warp_affine
from torch import Generator, Tensor

from dashseg.config import AugmentConfig, Size
from dashseg.labels import COMMA10K, IGNORE, Classes
from dashseg.training.augment.bonnet import Bonnets
from dashseg.training.augment.draws import chosen, log_uniform, on_device, uniform
from dashseg.training.augment.weather import Weather

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, of R, G, B


class Augment:
    """The recipe's augmentation.

    Args:
        config: the `augment` section.
        mean: RGB in 0-1, what fills the image beyond its border: zero once it is normalised.
        classes: of the labels; bonnets, night, rain and fog find theirs by what they are called.
    """

    def __init__(
        self, config: AugmentConfig, mean: tuple[float, float, float], classes: Classes = COMMA10K
    ) -> None:
        self.config = config
        self.mean = mean
        self.bonnets = Bonnets(config, classes)
        self.weather = Weather(config, classes)

    def __call__(self, image: Tensor, label: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Augment a batch.

        Args:
            image: uint8 (B, 3, H, W) RGB.
            label: int64 (B, H, W), 255 = ignore.
            generator: on the CPU.

        Returns:
            image float32 (B, 3, h, w) in 0-255, label int64 (B, h, w); h, w is the crop.
        """
        image = image.float() / 255
        if self.config.bonnet > 0:  # before night falls on it too
            image, label = self.bonnets(image, label, generator)
        if self.weather.active:  # before anything moves: its lamps stand on the whole frame's road
            image = self.weather(image, label, generator)
        image, label, beyond = self._geometry(image, label, generator)
        image = self._light(image, generator).clamp(0, 1)
        if beyond is not None:  # light changes frames, not what lies around them
            fill = image.new_tensor(self.mean).view(1, 3, 1, 1)
            image = torch.where(beyond.unsqueeze(1), fill, image)
        return image * 255, label

    def _geometry(
        self, image: Tensor, label: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Warped image and label, and where (bool (B, h, w)) they lie beyond the frame, if so."""
        config, count = self.config, len(image)
        size = image.shape[-2], image.shape[-1]
        crop = config.crop or size
        flip = uniform(count, 0, 1, generator) < config.flip
        if config.scale == (1, 1) and config.rotate == 0 and crop == size:
            where = flip.to(image.device)
            image = torch.where(where.view(-1, 1, 1, 1), image.flip(-1), image)
            return image, torch.where(where.view(-1, 1, 1), label.flip(-1), label), None
        scale = log_uniform(count, *config.scale, generator)
        angle = uniform(count, -config.rotate, config.rotate, generator).deg2rad()
        place = uniform(2 * count, 0, 1, generator).view(count, 2)
        matrix = _affine(size, crop, flip, scale, angle, place).to(image.device)  # (B, 2, 3)

        warped = warp_affine(
            image, matrix, crop, mode="bilinear", padding_mode="border", align_corners=False
        )
        # Beyond the border warp_affine gives 0: shifted by one, that is no class's id.
        shifted = (label + 1).unsqueeze(1).float()
        ids = warp_affine(
            shifted, matrix, crop, mode="nearest", padding_mode="zeros", align_corners=False
        )
        ids = ids.squeeze(1).round().long() - 1  # (B, h, w)
        beyond = ids < 0
        return warped, torch.where(beyond, IGNORE, ids), beyond

    def _light(self, image: Tensor, generator: Generator) -> Tensor:
        config, count = self.config, len(image)
        if config.blur > 0:
            image = self._blur(image, generator)
        if config.brightness or config.contrast or config.saturation or config.hue:
            image = self._colour(image, generator)
        if config.gamma != (1, 1):
            gamma = log_uniform(count, *config.gamma, generator).to(image.device)
            image = image.clamp(0, 1) ** gamma.view(-1, 1, 1, 1)
        if config.noise > 0:
            deviation = uniform(count, 0, config.noise, generator).view(-1, 1, 1, 1)
            pixels = on_device(generator, image.device)
            noise = torch.randn(image.shape, generator=pixels, device=image.device)
            image = image + noise * deviation.to(image.device)
        return image

    def _colour(self, image: Tensor, generator: Generator) -> Tensor:
        """Hue, saturation, brightness and contrast: all linear in RGB, so one matrix a frame."""
        config, count = self.config, len(image)
        turn = 2 * math.pi * uniform(count, -config.hue, config.hue, generator)
        saturation = uniform(count, 1 - config.saturation, 1 + config.saturation, generator)
        brightness = uniform(count, 1 - config.brightness, 1 + config.brightness, generator)
        contrast = uniform(count, 1 - config.contrast, 1 + config.contrast, generator)
        matrix = (_chroma_matrix(turn, saturation) * brightness.view(-1, 1, 1)).to(image.device)
        luma = image.new_tensor(_LUMA)
        mean = torch.einsum("c,bcd,bd->b", luma, matrix, image.mean((2, 3)))  # (B,)
        contrast = contrast.to(image.device)
        pixels = torch.bmm(matrix * contrast.view(-1, 1, 1), image.flatten(2))  # (B, 3, H·W)
        return pixels.view_as(image) + ((1 - contrast) * mean).view(-1, 1, 1, 1)

    def _blur(self, image: Tensor, generator: Generator) -> Tensor:
        low, high = self.config.blur_sigma
        frames = chosen(len(image), self.config.blur, generator)
        sigma = uniform(len(image), low, high, generator)[frames].view(-1, 1).expand(-1, 2)
        if len(frames):
            width = 2 * math.ceil(2 * high) + 1  # pixels: two deviations to each side, 95 %
            frames = frames.to(image.device)
            blurred = gaussian_blur2d(image[frames], (width, width), sigma.to(image.device))
            image = image.index_copy(0, frames, blurred)
        return image


def _affine(
    size: Size, crop: Size, flip: Tensor, scale: Tensor, angle: Tensor, place: Tensor
) -> Tensor:
    """(B, 2, 3) matrices, pixel of the frame -> pixel of the crop.

    The frame is mirrored, turned and scaled about its centre; then the crop is laid on it so that
    it covers as much as it can: anywhere within a larger frame, anywhere around a smaller one.

    Args:
        size, crop: (H, W) of the frame and of the crop.
        flip (bool), scale, angle (radians): (B,). place: (B, 2) in 0-1, where the crop lies.
    """
    mirror = torch.where(flip, -1.0, 1.0)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    matrix = torch.stack([cos * mirror, -sin, sin * mirror, cos], 1).view(-1, 2, 2)
    frame = torch.tensor([size[1], size[0]], dtype=torch.float32)  # (x, y)
    window = torch.tensor([crop[1], crop[0]], dtype=torch.float32)
    slack = (frame * scale.unsqueeze(1) - window).abs()  # (B, 2) pixels of free play
    centre = window / 2 - 0.5 + (place - 0.5) * slack  # of the frame, within the crop
    shift = centre.unsqueeze(2) - matrix @ (frame / 2 - 0.5).view(1, 2, 1)  # (B, 2, 1)
    return torch.cat([matrix, shift], 2)


def _chroma_matrix(turn: Tensor, saturation: Tensor) -> Tensor:
    """(B,) radians, (B,) factors -> (B, 3, 3): turn and stretch colour, keep luma.

    The turn is one of the chroma plane of YIQ, which is linear where HSV's hue is not.
    """
    to_yiq = torch.tensor(
        [_LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)]  # FCC, NTSC 1953
    )
    cos, sin, zero = saturation * turn.cos(), saturation * turn.sin(), torch.zeros_like(turn)
    rows = [torch.ones_like(turn), zero, zero, zero, cos, -sin, zero, sin, cos]
    return to_yiq.inverse() @ torch.stack(rows, 1).view(-1, 3, 3) @ to_yiq
