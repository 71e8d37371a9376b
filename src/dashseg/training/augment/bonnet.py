"""Pasting the bonnet of the own car from one frame of a batch onto frames without one.

CamVid's camera does not see a bonnet; most dash cameras do. A network trained on both learns that
bonnets occur only with the scenes of one data set. Each of several processes takes bonnets only
from its part of the batch, so the number of processes changes which bonnet a frame gets. No other
augmentation depends on it.
"""

from __future__ import annotations

import torch
from kornia.filters import gaussian_blur2d
from kornia.geometry.transform import warp_affine
from torch import Tensor

from dashseg.config import AugmentConfig
from dashseg.data.partial import Groups
from dashseg.errors import InputError
from dashseg.labels import IGNORE, Classes
from dashseg.training.augment.draws import Draws
from dashseg.training.augment.transfer import sent

OWN_CAR = "my car"  # the class's name in comma10k
_SMALLEST = 0.01  # share of a frame's pixels: less is a wiper's tip
_SCALE = (1.0, 1.3)  # of the width; less than 1 would leave gaps at the sides
_HEIGHT = (0.6, 1.4)  # a further factor of the height above the frame's lower edge
_GAIN = (0.5, 2.0)  # limits of the brightness factor that adapts a bonnet to its new frame
_EDGE = 1.0  # pixels: standard deviation of the blur of the bonnet's edge


class Bonnets:
    """Pastes another frame's bonnet onto a share of the frames without one.

    Args:
        config: the `augment` section.
        classes: of the labels.
        groups: of each merged label, the ids of the classes it may be.

    Raises:
        InputError: `augment.bonnet` is above 0, but no class is named "my car".
    """

    def __init__(self, config: AugmentConfig, classes: Classes, groups: Groups = ()) -> None:
        self.share = config.bonnet
        if self.share > 0 and OWN_CAR not in classes.names:
            raise InputError(
                f"augment.bonnet needs a class '{OWN_CAR}'; the data has"
                f" {', '.join(classes.names)}: --set augment.bonnet=0"
            )
        self._id = classes.names.index(OWN_CAR) if self.share > 0 else -1
        self._may_be = [i for i, own in enumerate(groups, len(classes)) if self._id in own]

    def __call__(self, image: Tensor, label: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Paste bonnets into image and label.

        Args:
            image: float (B, 3, H, W) in 0-1.
            label: int64 (B, H, W).

        Returns:
            New image and label, or the arguments if no frame has a bonnet.
        """
        wanted = draws.uniform(0, 1) < self.share
        choice = draws.uniform(0, 1)
        mirrored = draws.uniform(0, 1) < 0.5
        scale = draws.log_uniform(*_SCALE)
        height = draws.log_uniform(*_HEIGHT)

        # `.cpu()` waits for the GPU: the shapes of what follows depend on these values.
        covered = (label == self._id).float().mean((1, 2)).cpu()  # (B,)
        givers = (covered > _SMALLEST).nonzero().flatten()
        for merged in self._may_be:  # such a frame may have a bonnet already: it gets none
            covered = covered + (label == merged).flatten(1).any(1).cpu()
        # Nor does a frame without a label, whose bonnet nobody has drawn.
        covered = covered + (label == IGNORE).flatten(1).all(1).cpu()
        takers = (wanted & (covered == 0)).nonzero().flatten()
        if not len(givers) or not len(takers):
            return image, label
        giver = givers[(choice[takers] * len(givers)).long()]
        matrix = _matrices(image.shape[-2:], mirrored[takers], scale[takers], height[takers])
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
        soft = (2 * bonnet - 1).clamp_min(0)  # only inside the edge: outside is the giver's road
        image = image.index_copy(0, takers_on, torch.lerp(under, pixels, soft))
        own = torch.where(bonnet.squeeze(1) > 0.5, self._id, label[takers_on])
        return image, label.index_copy(0, takers_on, own)


def _matrices(size: torch.Size, mirrored: Tensor, scale: Tensor, height: Tensor) -> Tensor:
    """(n, 2, 3) pixel matrices that scale about the middle of the frame's lower edge."""
    middle, bottom = (size[1] - 1) / 2, size[0] - 0.5
    across, upwards = torch.where(mirrored, -scale, scale), scale * height
    zero = torch.zeros_like(scale)
    rows = [across, zero, middle * (1 - across), zero, upwards, bottom * (1 - upwards)]
    return torch.stack(rows, 1).view(-1, 2, 3)
