"""What training makes small: image -> logits -> loss, as one module that processes can share."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dashseg.config import LossConfig
from dashseg.models import DeepLabV3
from dashseg.training.losses import build_loss
from dashseg.training.supervision import AuxiliaryHead


class Objective(nn.Module):
    """The training loss of a network.

    Args:
        class_weights: one per class, for the loss; None: all alike.
    """

    def __init__(
        self,
        network: DeepLabV3,
        config: LossConfig,
        classes: int,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = build_loss(config, class_weights)
        self.auxiliary = AuxiliaryHead(network, classes) if config.auxiliary > 0 else None
        self.auxiliary_weight = config.auxiliary

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """Normalised (B, 3, H, W) image, int64 (B, H, W) label, 255 = ignore -> scalar."""
        # The loss enlarges logits to the label's size a few frames at a time.
        loss: Tensor = self.loss(self.network.coarse_logits(image), label)
        if self.auxiliary is not None:
            loss = loss + self.auxiliary_weight * self.loss(self.auxiliary(), label)
        return loss
