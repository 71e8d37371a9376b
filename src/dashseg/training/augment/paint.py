"""Fading lane markings: worn paint, on frames whose paint is fresh.

A network that has seen only clear paint misses faint paint. What lies under the paint is estimated
from the road beside it, and the paint goes some of the way there.
"""

from __future__ import annotations

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn import functional as F

from dashseg.config import PaintConfig
from dashseg.errors import InputError
from dashseg.labels import Classes
from dashseg.training.augment.draws import Draws
from dashseg.training.augment.scene import Role, role_table
from dashseg.training.augment.transfer import sent

_STEP = 4  # the road's colour is smooth: it is worked out at a quarter of the resolution
_REACH = 3.0  # standard deviation, in steps, of the blur that carries the road under the paint
_EDGE = 2  # pixels beside the paint that may be painted too, as outlines are not exact
_KNOWN = 1e-3  # share of road in reach: with less, nothing is known of what is under the paint
_ALL = 0.999  # a share of 1, after rounding


class FadedPaint:
    """Fades the lane markings of a share of the frames, each by one strength.

    Args:
        config: the section `augment.paint`.
        classes: of the labels.

    Raises:
        InputError: `augment.paint.share` is above 0, but no class is road or none is paint.
    """

    def __init__(self, config: PaintConfig, classes: Classes) -> None:
        self.config = config
        self._roles = role_table(classes)  # a merged label is neither road nor paint
        missing = {Role.ROAD, Role.PAINT} - {Role(role) for role in self._roles.tolist()}
        if config.share > 0 and missing:
            raise InputError(
                "augment.paint needs classes 'road' and 'lane markings'; the data has"
                f" {', '.join(classes.names)}: --set augment.paint.share=0"
            )

    def __call__(self, image: Tensor, label: Tensor, draws: Draws) -> Tensor:
        """Fade the paint.

        Args:
            image: float (B, 3, H, W) in 0-1.
            label: int64 (B, H, W).

        Returns:
            A new image, or the argument if no frame was chosen.
        """
        frames = draws.chosen(self.config.share)
        fade = draws.uniform(*self.config.fade)[frames]
        if not len(frames):
            return image
        frames, fade = sent(frames, image.device), sent(fade, image.device)
        clear = image[frames]
        role = sent(self._roles, label.device)[label[frames]].unsqueeze(1)  # (n, 1, H, W)
        paint = (role == Role.PAINT).to(image.dtype)
        near = F.max_pool2d(paint, 2 * _EDGE + 1, 1, _EDGE)
        bare = (role == Role.ROAD).to(image.dtype) * (1 - near)
        under, known = _road_around(clear, bare)
        cover = gaussian_blur2d(F.max_pool2d(paint, 3, 1, 1), (5, 5), (1.0, 1.0))
        strength = cover * known * fade.view(-1, 1, 1, 1)
        return image.index_copy(0, frames, torch.lerp(clear, under, strength))


def _road_around(image: Tensor, bare: Tensor) -> tuple[Tensor, Tensor]:
    """(n, 3, H, W) the mean of the bare road around each pixel, and (n, 1, H, W) whether there is
    any: 0 or 1."""
    size = image.shape[-2:]
    both = F.avg_pool2d(torch.cat([image * bare, bare], 1), _STEP, ceil_mode=True)
    width = 2 * int(3 * _REACH) + 1
    both = gaussian_blur2d(both, (width, width), (_REACH, _REACH), border_type="constant")
    total, share = both[:, :3], both[:, 3:]
    under = torch.cat([total / share.clamp_min(_KNOWN), (share > _KNOWN).to(image.dtype)], 1)
    under = F.interpolate(under, size=size, mode="bilinear", align_corners=False)
    return under[:, :3], (under[:, 3:] > _ALL).to(image.dtype)
