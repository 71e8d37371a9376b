"""One loaded model for all tests here: reading it takes longer than using it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dashseg.config import load_recipe
from dashseg.inference import Segmenter, load, save_model
from dashseg.inference.export import ExportPlan, export_model
from dashseg.labels import COMMA10K
from dashseg.models import build_model


@pytest.fixture(scope="session")
def segmenter(model_directory: Path) -> Segmenter:
    return load(model_directory, device="cpu")


@pytest.fixture
def frame() -> NDArray[np.uint8]:
    """Blocks of colour and noise, 40×56."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (5, 7, 3)).repeat(8, 0).repeat(8, 1)
    return (blocks + rng.normal(0, 20, blocks.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def recipe_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Segmenter]:
    """recipe_model("demo"): that recipe's network with a narrow head and random weights.

    It takes frames of some 36×64, in the recipe's way.
    """
    made: dict[str, Segmenter] = {}

    def make(name: str) -> Segmenter:
        if name in made:
            return made[name]
        torch.manual_seed(0)
        config = load_recipe(name).model
        levels = tuple(
            level.model_copy(update={"skip": min(level.skip, 4), "channels": 8})
            for level in config.decoder.levels
        )
        config = config.model_copy(
            update={
                "weights": None,
                "input": config.input.model_copy(update={"size": (36, 64)}),
                "aspp": config.aspp.model_copy(update={"channels": 8}),
                "decoder": config.decoder.model_copy(update={"levels": levels}),
            }
        )
        network = build_model(config).eval()
        for norm in network.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
                torch.nn.init.normal_(norm.bias, std=0.3)
        with torch.no_grad():  # no class wins everywhere
            network.decoder.classifier.bias -= network(torch.randn(4, 3, 36, 64)).mean((0, 2, 3))
        folder = tmp_path_factory.mktemp(name) / "model"
        save_model(folder, network.state_dict(), config, COMMA10K)
        made[name] = load(folder, device="cpu")
        return made[name]

    return make


@pytest.fixture(scope="session")
def exported(segmenter: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """exported("onnx", size=(36, 64)) -> the export folder of `segmenter`, made once."""
    made: dict[Any, Path] = {}

    def make(format: str, **options: Any) -> Path:
        key = (format, *sorted(options.items()))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("exports") / format
            export_model(segmenter, made[key], ExportPlan(format, **options), lambda _: {})
        return made[key]

    return make
