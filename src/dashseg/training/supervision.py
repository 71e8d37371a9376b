"""Deep supervision: a second prediction, from inside the encoder, during training.

Zhao et al., "Pyramid scene parsing network" (2017), section 3.3: the gradient reaches early layers
by a shorter path. The head is not part of the network, so no model directory contains it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dashseg.models import DeepLabV3

_STRIDE = 16  # of the published encoders: the last stage but one, as in the paper


class AuxiliaryHead(nn.Module):
    """Predicts classes from the last output of the encoder's stage at stride 16.

    Args:
        network: its encoder gets a forward hook.
        classes: number of classes.
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
        """Logits (B, C, H/16, W/16) of the network's last batch; larger if its stride is 8."""
        assert self._features is not None, "the network has not been run in training"
        features, self._features = self._features, None
        logits: Tensor = self.head(features)
        return logits
