"""`dashseg data select --cluster`: actors look at frames, and the driver chooses."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from dashseg.curate.select import Candidate
from dashseg.errors import InputError
from dashseg.inference.select_frames import Look, Looker, look_here
from dashseg.inference.video import is_video_file
from dashseg.scale.model import Network, read_model
from dashseg.scale.spread import Spread

_Outcome = Candidate | InputError | None


def looker(
    model: str,
    cluster: str,
    *,
    classes: str | None = None,
    device: str = "auto",
    cores: int | None = None,
) -> Looker:
    """Looks at frames on a Ray cluster, for `dashseg.inference.select_frames`.

    A video is looked at by one actor.

    Args:
        model: as `load` takes it; its files are sent to the machines of the cluster.
        cluster: "auto" or HOST:PORT, see `cluster.connected`.
        device: "auto" takes the cluster's GPUs if it has any.
        cores: of each actor, see `cluster.size`.

    Raises:
        InputError: no such model.
    """
    network = Network(model, read_model(model, classes), device)
    return partial(_look, network, Spread(cluster, device=device), cores)


def _look(
    network: Network,
    spread: Spread,
    cores: int | None,
    task: Look,
    images: dict[str, Path],
    videos: dict[str, Path],
) -> Generator[_Outcome, None, None]:
    """A `Looker`."""
    folders = dict.fromkeys(str(path.parent) for path in (*images.values(), *videos.values()))
    spread = replace(spread, sees=tuple(folders))
    shards = spread.split(list(images.items()))
    shards += [[video] for video in videos.items()]
    with closing(spread.shards(partial(_look_at, network, task), shards, cores)) as outcomes:
        for outcome in outcomes:
            yield from outcome


def _look_at(network: Network, task: Look, files: Sequence[tuple[str, Path]]) -> list[_Outcome]:
    """Look at some images, or at one video."""
    videos = {name: path for name, path in files if is_video_file(path)}
    images = {name: path for name, path in files if name not in videos}
    return list(look_here(network.segmenter, task, images, videos))
