"""Deep supervision: a second prediction, from inside the encoder, that training alone makes.

Zhao et al., "Pyramid scene parsing network" (2017), section 3.3: the gradient reaches early layers
by a shorter way. The head is no part of the network and so of no model directory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dashseg.models import DeepLabV3

_STRIDE = 16  # of the published encoders: the stage before the last, as in the paper


class AuxiliaryHead(nn.Module):
    """Predicts classes from what the encoder's stage at stride 16 gave last.

    Args:
        network: its encoder is listened to; it is not changed otherwise.
    """

    def __init__(self, network: DeepLabV3, classes: int) -> None:
        super().__init__()
        stage = network.encoder.layers_to(_STRIDE)[-1]
        *_, norm = (m for m in stage.modules() if isinstance(m, nn.BatchNorm2d))
        channels = norm.num_features
        self.head = nn.Sequential(
            nn.Conv2d(channels, channels // 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels // 4),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // 4, classes, 1),
        )
        self._features: Tensor | None = None
        stage.register_forward_hook(self._keep)

    def _keep(self, stage: nn.Module, inputs: tuple[Tensor], features: Tensor) -> None:
        if self.training and torch.is_grad_enabled():
            self._features = features

    def forward(self) -> Tensor:
        """Logits (B, C, H/16, W/16), or denser, for the batch that the network saw last."""
        assert self._features is not None, "the network has not been run in training"
        features, self._features = self._features, None
        logits: Tensor = self.head(features)
        return logits
