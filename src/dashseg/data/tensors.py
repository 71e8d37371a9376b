"""A data set -> (image, label) tensors, as PyTorch's `DataLoader` takes them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from dashseg.data.dataset import Dataset
from dashseg.images import resize_image
from dashseg.shrink import shrink_label


class TensorFrames(TorchDataset[tuple[Tensor, Tensor]]):
    """What `Dataset.tensors` returns: uint8 (3, H, W) RGB and int64 (H, W), 255 = ignore.

    It can be pickled, so a `DataLoader` can have workers, however they are started. Reading a
    frame raises InputError that names the file if it cannot be read.
    """

    def __init__(self, frames: Dataset, size: tuple[int, int] | None = None) -> None:
        self.frames = frames
        self.size = size

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, label, _ = self.frames[index]
        if self.size is not None:
            image, label = resize_image(image, self.size), shrink_label(label, self.size)
        channels_first = np.ascontiguousarray(image.transpose(2, 0, 1))
        return torch.from_numpy(channels_first), torch.from_numpy(label).long()
