"""Giving frames the look of other frames: of cameras, places and hours that have no labels.

A share of the frames takes the look of one reference each, in one of two ways. *Fourier*: the
amplitudes of the frame's lowest frequencies become the reference's; the phases, which hold the
shapes, stay (FDA: Yang and Soatto, CVPR 2020). *Colour*: brightness and the two colour differences
get the reference's mean and deviation (Reinhard et al. 2001, in YIQ, where this is one matrix).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dashseg.config import StyleConfig
from dashseg.errors import InputError
from dashseg.images import image_files, read_image, resize_image
from dashseg.training.augment.draws import Draws
from dashseg.training.augment.transfer import sent

_MOST = 300  # references in all; reading as many 720p JPEGs takes some 5 s
_READ_AT = (256, 256)  # pixels; 8 of them per wave of the highest frequency
_GAIN = (0.5, 2.0)  # limits of the factor on deviations: a grey wall has next to none
_YIQ = torch.tensor(  # of R, G, B: brightness and two colour differences (FCC, NTSC 1953)
    [(0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)]
)


class Style:
    """Gives a share of a batch the look of reference frames, which are read here.

    Args:
        config: the section `augment.style`.

    Raises:
        InputError: a folder is missing or has no images, or an image cannot be read.
    """

    def __init__(self, config: StyleConfig) -> None:
        self.config = config
        if config.share == 0:
            return
        waves = config.waves[1]
        amplitudes, statistics = [], []
        for path in _references(config.frames):
            pixels = torch.from_numpy(resize_image(read_image(path), _READ_AT))
            image = pixels.permute(2, 0, 1)[None].float() / 255
            amplitudes.append(low_frequencies(image, waves).abs())
            statistics.append(torch.stack(_moments(image), 1))
        self._amplitudes = torch.cat(amplitudes)  # (N, 3, 2·waves + 1, waves + 1)
        self._statistics = torch.cat(statistics)  # (N, 2, 3): mean and deviation in YIQ

    def __call__(self, image: Tensor, draws: Draws) -> Tensor:
        """Change a share of the frames.

        Args:
            image: float (B, 3, H, W) in 0-1.

        Returns:
            The changed image, in 0-1.
        """
        config = self.config
        wanted = draws.uniform(0, 1) < config.share
        by_colour = draws.uniform(0, 1) < config.colour
        strength = draws.uniform(*config.strength)
        waves = draws.integers(config.waves[0], config.waves[1] + 1)
        reference = draws.integers(0, len(self._amplitudes))
        for change, frames in (
            (self._colour, (wanted & by_colour).nonzero().flatten()),
            (self._fourier, (wanted & ~by_colour).nonzero().flatten()),
        ):
            if len(frames):
                where = sent(frames, image.device)
                changed = change(image[where], reference[frames], strength[frames], waves[frames])
                image = image.index_copy(0, where, changed.clamp_(0, 1))
        return image

    def _fourier(self, image: Tensor, reference: Tensor, strength: Tensor, waves: Tensor) -> Tensor:
        """Take over amplitudes; reference, strength and waves are (B,), on the CPU."""
        return swap_amplitudes(
            image, sent(self._amplitudes[reference], image.device), strength, waves
        )

    def _colour(self, image: Tensor, reference: Tensor, strength: Tensor, _: Tensor) -> Tensor:
        """Take over mean and deviation of brightness and colour differences."""
        theirs = sent(self._statistics[reference], image.device)
        mean, deviation = _moments(image)
        gain = (theirs[:, 1] / deviation.clamp_min(1e-3)).clamp(*_GAIN)
        yiq = sent(_YIQ, image.device)
        back = sent(_YIQ.inverse(), image.device)
        matrix = back @ torch.diag_embed(gain) @ yiq  # (B, 3, 3)
        shift = (theirs[:, 0] - gain * mean) @ back.T  # (B, 3)
        changed = torch.bmm(matrix, image.flatten(2)).view_as(image) + shift[..., None, None]
        return image.lerp(changed, sent(strength, image.device).view(-1, 1, 1, 1))


def low_frequencies(image: Tensor, waves: int) -> Tensor:
    """The Fourier coefficients of up to `waves` waves per frame in either direction.

    Args:
        image: float (B, 3, H, W).

    Returns:
        complex (B, 3, 2·waves + 1, waves + 1): vertically -waves to waves, horizontally 0 to
        waves, divided by H·W, so that they do not depend on the frame's size.
    """
    height, width = image.shape[-2:]
    down, across = _basis(height, waves, image.device), _basis(width, waves, image.device)
    # Horizontally first, in real numbers: a complex image would take twice the memory.
    right = across[waves:].T.contiguous()  # (W, waves + 1)
    rows = torch.complex(image @ right.real, -(image @ right.imag))
    return down.conj() @ rows / (height * width)


def swap_amplitudes(image: Tensor, amplitudes: Tensor, strength: Tensor, waves: Tensor) -> Tensor:
    """Move the low frequencies' amplitudes towards others; phases stay.

    Args:
        image: float (B, 3, H, W).
        amplitudes: (B, 3, 2·K + 1, K + 1), absolute values as of `low_frequencies`.
        strength: (B,) on the CPU, 1: the amplitudes become the others.
        waves: (B,) on the CPU, at most K: what has more waves per frame stays.

    Returns:
        The changed image, which may exceed the range of the image.
    """
    height, width = image.shape[-2:]
    most = amplitudes.shape[-1] - 1
    vertical, horizontal = torch.arange(-most, most + 1).abs(), torch.arange(most + 1)
    highest = torch.maximum(vertical[:, None], horizontal)  # (2·K + 1, K + 1)
    share = strength.view(-1, 1, 1) * (highest <= waves.view(-1, 1, 1))
    share = sent(share, image.device).unsqueeze(1)
    ours = low_frequencies(image, most)
    change = torch.polar(share * (amplitudes - ours.abs()), ours.angle())
    # Each horizontal wave stands for its conjugate too.
    down, across = _basis(height, most, image.device), _basis(width, most, image.device)
    right = across[most:] * sent((1.0 + (horizontal > 0)).view(-1, 1), image.device)
    columns = down.T @ change  # (B, 3, H, K + 1)
    return image + columns.real @ right.real - columns.imag @ right.imag


@lru_cache(maxsize=8)
def _basis(size: int, waves: int, device: torch.device) -> Tensor:
    """complex (2·waves + 1, size): exp(2πi·k·x / size) for k from -waves to waves."""
    k = torch.arange(-waves, waves + 1, dtype=torch.float64)
    angle = 2 * math.pi * k[:, None] * torch.arange(size, dtype=torch.float64) / size
    return sent(torch.polar(torch.ones_like(angle), angle).to(torch.complex64), device)


def _moments(image: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 3) mean and (B, 3) standard deviation in YIQ of RGB (B, 3, H, W)."""
    yiq = sent(_YIQ, image.device) @ image.flatten(2)
    return yiq.mean(2), yiq.std(2)


def _references(folders: Sequence[Path]) -> list[Path]:
    """At most `_MOST` images, as many of each folder, spread evenly over its sorted files."""
    chosen: list[Path] = []
    for folder in folders:
        found = image_files(folder)
        if not found:
            raise InputError(f"augment.style.frames: no images in {folder}")
        count = min(len(found), max(1, _MOST // len(folders)))
        chosen += [found[i] for i in np.linspace(0, len(found) - 1, count).round().astype(int)]
    return chosen
