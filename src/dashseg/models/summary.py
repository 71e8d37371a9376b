"""A model's layers, their output shapes, parameters and multiply-adds."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Totals:
    """Sums over a model's layers, for one image.

    Attributes:
        size: (height, width) of the image.
        parameters: number of parameters.
        trainable: number of parameters with a gradient.
        multiply_adds: of the convolutions in one forward pass; FLOPs are twice that. Norms, ReLUs,
            pooling and resizing are left out: they are less than a hundredth of it.
    """

    size: tuple[int, int]
    parameters: int
    trainable: int
    multiply_adds: int


def summarise(model: nn.Module, size: tuple[int, int]) -> tuple[str, Totals]:
    """Describe a model for an image (1, 3, *size): a table with one line per layer, and totals.

    The model is copied to the meta device, where tensors have shapes but no values. So the model
    stays unchanged, and a large size takes no memory.
    """
    import torchinfo

    statistics = torchinfo.summary(
        copy.deepcopy(model).to("meta"),
        input_data=torch.empty(1, 3, *size, device="meta"),
        device="meta",
        depth=4,  # part, stage, block, layer
        col_names=("output_size", "num_params", "mult_adds"),
        row_settings=("var_names",),
        verbose=0,
    )
    # torchinfo prints "Units.GIGABYTES" for "G".
    table = re.sub(r"Units\.(\w)\w+", r"\1", str(statistics))
    totals = Totals(
        size=size,
        parameters=statistics.total_params,
        trainable=statistics.trainable_params,
        multiply_adds=statistics.total_mult_adds,
    )
    return table, totals
