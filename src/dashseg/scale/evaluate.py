"""`dashseg evaluate --cluster`: actors score frames, and the driver adds up the scores in order."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dashseg.data import Dataset
from dashseg.errors import InputError
from dashseg.evaluation.examples import Extremes
from dashseg.evaluation.measure import Meter, Scored, Scorer, score_frames
from dashseg.inference.pipeline import Pace
from dashseg.peak_memory import peak_bytes
from dashseg.scale.model import Network, read_model
from dashseg.scale.spread import Spread, roots


def scorer(
    model: str,
    cluster: str,
    *,
    tta: Sequence[str] = (),
    classes: str | Path | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    cores: int | None = None,
) -> Scorer:
    """Scores the frames of a data set on a Ray cluster, for `dashseg.evaluation.evaluate`.

    Args:
        model: as `load` takes it; its files are sent to the machines of the cluster.
        cluster: "auto" or HOST:PORT, see `cluster.connected`.
        device: "auto" takes the cluster's GPUs if it has any.
        batch_size: frames that the network gets at once, as in `Pace`.
        cores: of each actor, see `cluster.size`.

    Raises:
        InputError: no such model. When frames are scored: the cluster cannot be used, or a machine
            of it does not see the frames.
    """
    pace, files = Pace(batch_size), read_model(model, classes)
    network = Network(model, files, device, tuple(tta), pace.one_by_one)
    return partial(_score, network, pace, Spread(cluster, device=device), cores)


class _Part(NamedTuple):
    """What an actor found in the frames of a shard, and what that took, as in `Meter`."""

    outcomes: list[Scored | InputError]
    network: float
    peak: int


def _score(
    network: Network,
    pace: Pace,
    spread: Spread,
    cores: int | None,
    dataset: Dataset,
    shown: int,
    meter: Meter,
) -> Generator[Scored | InputError, None, None]:
    """A `Scorer`."""
    spread = replace(spread, sees=roots(dataset))
    work = partial(_score_shard, network, pace, dataset, shown)
    with closing(spread.shards(work, spread.split(range(len(dataset))), cores)) as parts:
        for part in parts:
            meter.network += part.network
            meter.peak = max(meter.peak, part.peak)
            yield from part.outcomes


def _score_shard(
    network: Network, pace: Pace, dataset: Dataset, shown: int, indices: Sequence[int]
) -> _Part:
    """Score some frames; predictions are kept of those that the whole report might show."""
    seconds, extremes = list[float](), Extremes(shown)
    outcomes: list[Scored | InputError] = []
    scored = score_frames(network.segmenter, dataset, indices, pace, seconds.append)
    with closing(scored):
        for frame in scored:
            if isinstance(frame, Scored):
                extremes.offer(frame.index, frame.score, frame.encode)
                # A megabyte that nothing needs any more. Where no PNG of it is sent either, the
                # driver will find frames of this shard that are better and worse.
                score = replace(frame.score, prediction=np.empty((0, 0), np.uint8))
                frame = replace(frame, score=score, encode=bytes)
            outcomes.append(frame)
    kept = extremes.kept()
    return _Part(
        [
            replace(frame, encode=partial(bytes, kept[frame.index]))
            if isinstance(frame, Scored) and frame.index in kept
            else frame
            for frame in outcomes
        ],
        sum(seconds),
        peak_bytes(),
    )
