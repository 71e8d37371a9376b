"""Loggers besides metrics.csv: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from lightning.fabric.loggers.logger import Logger

from dashseg.errors import InputError
from dashseg.run_directory import RunDirectory


def check_installed(names: Sequence[str]) -> None:
    """Raise InputError for the first logger whose package is not installed."""
    for name in names:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:  # no such package, or a folder of that name
            raise InputError(f"training.loggers: {name} is not installed: pip install {name}")


def make_logger(name: str, run: RunDirectory) -> Logger:
    """Make a logger that writes into the run; some create files at once.

    Args:
        name: "tensorboard", "wandb" or "mlflow".
    """
    root = run.root.resolve()
    if name == "tensorboard":
        from lightning.fabric.loggers.tensorboard import TensorBoardLogger

        return TensorBoardLogger(root, name="tensorboard", version="")
    if name == "wandb":
        from lightning.pytorch.loggers import WandbLogger

        return WandbLogger(name=root.name, save_dir=root)
    from lightning.pytorch.loggers import MLFlowLogger

    return MLFlowLogger(
        run_name=root.name,
        tracking_uri=f"sqlite:///{root / 'mlflow.db'}",  # MLflow no longer supports its file store
        artifact_location=str(root / "mlflow"),
    )
