"""One loaded model for all tests here: reading it takes longer than using it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dashseg.inference import Segmenter, load


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors this small are shared out among threads for longer than they are worked on."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def segmenter(model_directory: Path) -> Segmenter:
    return load(model_directory, device="cpu")


@pytest.fixture
def frame() -> NDArray[np.uint8]:
    """Blocks of colour and noise, 40×56."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (5, 7, 3)).repeat(8, 0).repeat(8, 1)
    return (blocks + rng.normal(0, 20, blocks.shape)).clip(0, 255).astype(np.uint8)
