"""A trained model that teaches the network: its predictions are soft labels of every frame.

Hinton et al., "Distilling the knowledge in a neural network" (2015).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dashseg.config import IN_PACK, TeacherConfig
from dashseg.data.pack.predictions import encode
from dashseg.errors import InputError
from dashseg.files import sha256
from dashseg.inference.loading import load
from dashseg.inference.segmenter import Segmenter
from dashseg.labels import Classes, require_same_classes
from dashseg.models.input import Normalise
from dashseg.models.layers import resize
from dashseg.training.losses import shared_divisor
from dashseg.training.soft_labels import Codes, SoftLabels


class Teacher:
    """A trained network on the training's device. It never changes, and no checkpoint holds it.

    Args:
        segmenter: a PyTorch model.
        device: of the training.

    Attributes:
        digest: of its file of weights; "" if it was not loaded from one.
    """

    def __init__(self, segmenter: Segmenter, device: torch.device) -> None:
        self.digest = "" if segmenter.weights is None else sha256(segmenter.weights)
        self._network = segmenter.network.to(device).requires_grad_(False).eval()
        self._normalise = Normalise(segmenter.input).to(device)

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        """RGB image (B, 3, H, W) in 0-255 -> logits (B, C, h, w) at the teacher's own stride.

        The teacher sees the pixels that the network sees, normalised in its own way.
        """
        normalised = self._normalise(image).contiguous(memory_format=torch.channels_last)
        return self._network.coarse_logits(normalised)


def open_teacher(
    config: TeacherConfig, classes: Classes, owner: str, device: torch.device
) -> Teacher | None:
    """Load the teacher of a recipe; None if it has none, or if packs hold its predictions.

    Args:
        classes: of the training, whose data is called `owner`.

    Raises:
        InputError: no such model, an exported one, or one with other classes.
    """
    if config.model in (None, IN_PACK):
        return None
    try:
        segmenter = load(config.model, device=str(device))
        require_same_classes(segmenter.classes, segmenter.name, classes, owner)
        return Teacher(segmenter, device)
    except InputError as error:
        raise InputError(f"loss.teacher.model: {error}") from error


class PackTeacher:
    """A teacher for `dashseg.curate.pack`, which is a `dashseg.data.pack.predictions.Predictor`.

    Args:
        segmenter: on its device.

    Attributes:
        trained_on: what is known of its training data; None: not recorded.

    Raises:
        InputError: an exported model.
    """

    trained_on: tuple[dict[str, Any], ...] | None = None

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter
        self._device = next(segmenter.network.parameters()).device
        self._teacher = Teacher(segmenter, self._device)
        path = Path(segmenter.name)
        self.model = path.resolve().name if path.exists() else segmenter.name
        self.digest = self._teacher.digest
        self.classes = segmenter.classes.names

    def __call__(self, image: NDArray[np.uint8]) -> Codes:
        """RGB frame (H, W, 3) -> codes (C, h, w).

        Raises:
            InputError: the network gives NaN or infinity.
        """
        frame = torch.from_numpy(np.array(image)).permute(2, 0, 1).unsqueeze(0)
        logits = self._teacher(frame.to(self._device).float())[0].cpu().numpy()
        if not np.isfinite(logits).all():
            raise InputError(f"{self.model} gives NaN or infinity: its weights are damaged")
        return encode(logits)


def soft_label_loss(logits: Tensor, taught: Tensor | SoftLabels, config: TeacherConfig) -> Tensor:
    """Cross-entropy with the teacher's probabilities, averaged over all pixels of the logits.

    Both are softened by the temperature T. The factor T² keeps the gradient as large as without.

    Args:
        logits: (B, C, h, w) of the network.
        taught: (B, C, h', w') of the teacher.

    Returns:
        float32 scalar. A pixel without a prediction, or that the teacher is not confident of, adds
        0.
    """
    with torch.autocast(logits.device.type, enabled=False):
        known = None
        if isinstance(taught, SoftLabels):
            taught, known = taught
        taught = resize(taught.float(), logits.shape[-2:])
        softened = (taught / config.temperature).softmax(1)
        losses = F.cross_entropy(logits.float() / config.temperature, softened, reduction="none")
        if config.least > 0:
            losses = losses * (taught.softmax(1).amax(1) >= config.least)
        if known is not None:
            shares = resize(known.unsqueeze(1).float(), logits.shape[-2:]).squeeze(1)
            losses = losses * (shares > 0.999)  # 1, after rounding
        pixels = losses.new_tensor(losses.numel())
        return config.temperature**2 * losses.sum() / shared_divisor(pixels)


def pseudo_label_loss(logits: Tensor, taught: Tensor, config: TeacherConfig) -> Tensor:
    """Cross-entropy with the most likely class of each pixel, averaged over all pixels.

    Sohn et al., "FixMatch: simplifying semi-supervised learning with consistency and confidence"
    (2020). Args and result as of `soft_label_loss`, but `taught` has the size of the logits. The
    loss of no frame is 0: one of several processes may have none.
    """
    with torch.autocast(logits.device.type, enabled=False):
        losses = logits[:, 0].float()
        if len(logits):
            likely, label = taught.float().softmax(1).max(1)
            losses = F.cross_entropy(logits.float(), label, reduction="none")
            losses = losses * (likely >= config.least)
        return losses.sum() / shared_divisor(losses.new_tensor(losses.numel()))
