"""Options that several verbs share."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from dashseg.errors import InputError

if TYPE_CHECKING:
    from dashseg.config import DataConfig, Part
    from dashseg.parallel import Spread

Data = Annotated[
    str,
    typer.Option(
        "--data", help="Folder of frames and masks, or synthetic:N[:SEED] for drawn scenes."
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="comma10k, camvid, folder, pack or synthetic; else recognised from the folder.",
    ),
]
DataChanges = Annotated[
    list[str] | None,
    typer.Option(  # escaped: the help's markup would take [imgs2] for a style
        "--set", help=r"How to read the data: --set data.parts=\[imgs2]. Repeatable."
    ),
]
Model = Annotated[
    str,
    typer.Argument(
        help="A run, a model directory, small, an exported .onnx or .xml, or a hub id"
        " owner/name@revision."
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        "--classes",
        help="palette.yaml of an ONNX file that dashseg did not export: its classes and input.",
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes; else one per core.")
]
Batch = Annotated[
    str,
    typer.Option(
        "--batch", help="Frames that the network gets at once: auto (1 on a CPU), or a number."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Threads that read, compute and write; else by the cores."
    ),
]
CLUSTER = "Many machines"  # panel of the help
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="auto, or HOST:PORT of a Ray cluster. --workers is then the cores of each actor.",
        rich_help_panel=CLUSTER,
    ),
]
ActorCores = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="With --cluster: cores of each actor.", rich_help_panel=CLUSTER
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def parse_size(text: str) -> tuple[int, int]:
    """ "437x582" -> (437, 582): height, width."""
    match = re.fullmatch("([0-9]{1,5})x([0-9]{1,5})", text.lower())
    if match is None:
        raise InputError(f"--size {text}: expected HxW in pixels, such as 437x582")
    return int(match[1]), int(match[2])


def parse_batch(text: str) -> int | None:
    """ "auto" -> None, "8" -> 8."""
    if text == "auto":
        return None
    if not re.fullmatch("0*[1-9][0-9]{0,3}", text):
        raise InputError(f"--batch {text}: expected auto, or a number of frames from 1 to 9999")
    return int(text)


def refuse_cores(cluster: str | None, cores: int | None) -> None:
    """Raise InputError for cores of actors without a cluster."""
    if cluster is None and cores is not None:
        raise InputError("--workers goes with --cluster")


def parse_cluster(cluster: str | None, root: str) -> Spread:
    """--cluster -> what does the work: `in_processes` if it was not given.

    Args:
        root: the data: a folder that the machines must see, or drawn scenes.
    """
    from dashseg.parallel import in_processes

    return in_processes if cluster is None else cluster_spread(cluster, root)


def cluster_spread(cluster: str, root: str, **more: Any) -> Spread:
    """What does the work on a cluster; `more` as `dashseg.scale.spread.Spread` takes it."""
    from dashseg.scale import require_packages

    require_packages()
    from dashseg.scale.spread import Spread

    return Spread(cluster, (root,) if os.path.exists(root) else (), **more)


def data_config(root: str, dataset: str | None, changes: list[str] | None) -> DataConfig:
    """How to read the data at `root`: --dataset and --set, else the defaults."""
    from dashseg.config import change_recipe, load_recipe

    known = {} if dataset is None else {"dataset": dataset}
    return change_recipe(load_recipe(None, changes or []), data={"root": root, **known}).data


def parse_parts(text: str | None) -> tuple[Part, ...] | None:
    """ "imgs,imgs2" -> ("imgs", "imgs2"): comma10k's cameras."""
    from dashseg.config import Part

    if text is None:
        return None
    known: dict[str, Part] = {part: part for part in get_args(Part)}
    chosen = dict.fromkeys(part.strip() for part in text.split(","))
    for part in chosen:
        if part not in known:
            raise InputError(f"--parts {text}: '{part}' is none of {', '.join(known)}")
    return tuple(known[part] for part in chosen)
