"""The own car's bonnet, cut from one frame of a batch and pasted under another that has none.

CamVid's camera sees no bonnet, most dash cameras do: a network that learns roads from the one and
bonnets from the other takes every frame without a bonnet for a road of the one kind. Of several
processes, each pastes bonnets of its own part of the batch: which frames give theirs is the one
draw that their number changes.
"""

from __future__ import annotations

import torch
from kornia.filters import gaussian_blur2d
from kornia.geometry.transform import warp_affine
from torch import Tensor

from dashseg.config import AugmentConfig
from dashseg.errors import InputError
from dashseg.labels import Classes
from dashseg.training.augment.draws import Draws
from dashseg.training.augment.transfer import sent

OWN_CAR = "my car"  # the class's name in comma10k
_SMALLEST = 0.01  # of a frame's pixels: what is less is no bonnet but a wiper's tip
_SCALE = (1.0, 1.3)  # sideways; not below 1, which would leave gaps at the sides
_HEIGHT = (0.6, 1.4)  # on top of that, upwards from the frame's lower edge
_GAIN = (0.5, 2.0)  # of brightness, at most, towards that of the frame that gets it
_EDGE = 1.0  # pixels: standard deviation of the blur across the bonnet's rim


class Bonnets:
    """Gives a share of the frames without a bonnet another frame's.

    Args:
        config: the `augment` section.
        classes: of the labels.

    Raises:
        InputError: bonnets are asked for, and no class is called "my car".
    """

    def __init__(self, config: AugmentConfig, classes: Classes) -> None:
        self.share = config.bonnet
        if self.share > 0 and OWN_CAR not in classes.names:
            raise InputError(
                f"augment.bonnet needs a class '{OWN_CAR}'; the data has"
                f" {', '.join(classes.names)}: set it to 0"
            )
        self._id = classes.names.index(OWN_CAR) if self.share > 0 else -1

    def __call__(self, image: Tensor, label: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Paste.

        Args:
            image: float (B, 3, H, W) in 0-1.
            label: int64 (B, H, W).

        Returns:
            Both, changed where a bonnet came in; as they were when no frame of the batch has one.
        """
        wanted = draws.uniform(0, 1) < self.share
        choice = draws.uniform(0, 1)
        mirrored = draws.uniform(0, 1) < 0.5
        scale = draws.log_uniform(*_SCALE)
        height = draws.log_uniform(*_HEIGHT)

        # Which frames can give and take decides how much there is to do: a GPU is waited for here.
        covered = (label == self._id).float().mean((1, 2)).cpu()  # (B,)
        givers = (covered > _SMALLEST).nonzero().flatten()
        takers = (wanted & (covered == 0)).nonzero().flatten()
        if not len(givers) or not len(takers):
            return image, label
        giver = givers[(choice[takers] * len(givers)).long()]
        matrix = _upwards(image.shape[-2:], mirrored[takers], scale[takers], height[takers])
        matrix, givers_on, takers_on = (sent(x, image.device) for x in (matrix, giver, takers))

        bonnet = (label[givers_on] == self._id).unsqueeze(1).to(image.dtype)  # (n, 1, H, W)
        cut = torch.cat([image[givers_on], bonnet], 1)
        size = image.shape[-2], image.shape[-1]
        cut = warp_affine(cut, matrix, size, padding_mode="border", align_corners=False)
        pixels, bonnet = cut[:, :3], cut[:, 3:]
        bonnet = gaussian_blur2d(bonnet, (5, 5), (_EDGE, _EDGE))
        under = image[takers_on]
        gain = (under.mean((1, 2, 3)) / image[givers_on].mean((1, 2, 3)).clamp_min(1e-3)).clamp(
            *_GAIN
        )
        pixels = (pixels * gain.view(-1, 1, 1, 1)).clamp(0, 1)
        soft = (2 * bonnet - 1).clamp_min(0)  # from the rim inwards: outside is another road
        image = image.index_copy(0, takers_on, torch.lerp(under, pixels, soft))
        own = torch.where(bonnet.squeeze(1) > 0.5, self._id, label[takers_on])
        return image, label.index_copy(0, takers_on, own)


def _upwards(size: torch.Size, mirrored: Tensor, scale: Tensor, height: Tensor) -> Tensor:
    """(n, 2, 3) matrices, pixel -> pixel, about the middle of the frame's lower edge."""
    middle, bottom = (size[1] - 1) / 2, size[0] - 0.5
    across, upwards = torch.where(mirrored, -scale, scale), scale * height
    zero = torch.zeros_like(scale)
    rows = [across, zero, middle * (1 - across), zero, upwards, bottom * (1 - upwards)]
    return torch.stack(rows, 1).view(-1, 2, 3)
