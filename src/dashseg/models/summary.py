"""A model on paper: its layers, their output shapes, parameters and multiply-adds."""

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
        parameters: all of them.
        trainable: those that take a gradient.
        multiply_adds: of the convolutions in one forward pass; FLOPs are twice that. Norms, ReLUs,
            pooling and resizing come to less than a hundredth of it and are left out.
    """

    size: tuple[int, int]
    parameters: int
    trainable: int
    multiply_adds: int


def summarise(model: nn.Module, size: tuple[int, int]) -> tuple[str, Totals]:
    """The table of a model's layers, one a line, and its totals, for an image (1, 3, *size).

    Nothing is computed and the model is not touched: a copy on the meta device has shapes but no
    numbers, so that any size takes no time and no memory.
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
    table = re.sub(r"Units\.(\w)\w+", r"\1", str(statistics))  # for G it prints its enum's name
    totals = Totals(
        size=size,
        parameters=statistics.total_params,
        trainable=statistics.trainable_params,
        multiply_adds=statistics.total_mult_adds,
    )
    return table, totals
