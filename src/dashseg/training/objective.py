"""The training objective: image -> logits -> loss, in one module for distributed training."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dashseg.config import LossConfig
from dashseg.data.partial import Groups
from dashseg.models import DeepLabV3
from dashseg.training.losses import build_loss
from dashseg.training.merged import MergedLabels
from dashseg.training.soft_labels import SoftLabels
from dashseg.training.supervision import AuxiliaryHead
from dashseg.training.teacher import pseudo_label_loss, soft_label_loss


class Objective(nn.Module):
    """A network with its training loss.

    Args:
        classes: number of classes.
        class_weights: of the loss, one per class; None: all 1.
        groups: of each merged label, the ids of the classes it may be; see `MergedLabels`.
    """

    def __init__(
        self,
        network: DeepLabV3,
        config: LossConfig,
        classes: int,
        class_weights: Sequence[float] | None = None,
        groups: Groups = (),
    ) -> None:
        super().__init__()
        self.network = network
        merged = MergedLabels(groups, classes) if groups else None
        self.loss = build_loss(config, class_weights, merged)
        self.auxiliary = AuxiliaryHead(network, classes) if config.auxiliary > 0 else None
        self.auxiliary_weight = config.auxiliary
        self.teacher = config.teacher

    def forward(
        self,
        image: Tensor,
        label: Tensor,
        taught: Tensor | SoftLabels | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Normalised (B, 3, H, W) image, int64 (B, H, W) label, 255 = ignore -> scalar.

        Args:
            taught: the teacher's logits of the image (B, C, h, w), of any stride, or a pack's; or
                those that the run's own average gives the frames at `places` (n, C, h, w).
            places: int64 (n,).
        """
        logits = self.network.coarse_logits(image)
        loss: Tensor = self.loss(logits, label)
        if taught is not None:
            if places is None or isinstance(taught, SoftLabels):
                more = soft_label_loss(logits, taught, self.teacher)
            else:
                more = pseudo_label_loss(logits[places], taught, self.teacher)
            loss = loss + self.teacher.weight * more
        if self.auxiliary is not None:
            loss = loss + self.auxiliary_weight * self.loss(self.auxiliary(), label)
        return loss
