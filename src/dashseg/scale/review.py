"""`dashseg review --cluster`: actors judge frames, and the driver ranks them."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

from dashseg.data import Dataset
from dashseg.errors import InputError
from dashseg.review.suspects import Judge, Judged, Part, Shown, Suspect, judge_frames
from dashseg.scale.model import Network, read_model
from dashseg.scale.spread import Spread, roots


def judge(
    cluster: str, *, classes: str | None = None, device: str = "auto", cores: int | None = None
) -> Judge:
    """Judges frames on a Ray cluster, for `dashseg.review.output.write_review`.

    Args:
        cluster: "auto" or HOST:PORT, see `cluster.connected`.
        classes: as `load` takes it.
        device: "auto" takes the cluster's GPUs if it has any.
        cores: of each actor, see `cluster.size`.
    """
    return partial(_judge, Spread(cluster, device=device), classes, cores)


def _judge(
    spread: Spread, classes: str | None, cores: int | None, part: Part, number: int, top: int
) -> Generator[Judged | InputError, None, None]:
    """A `Judge`."""
    name = part.segmenter.name
    files = read_model(name, classes)
    network = Network(name, files, spread.device, part.segmenter.tta, many=True)
    work = partial(_judge_shard, network, part.dataset, part.fold, number, top)
    spread = replace(spread, sees=roots(part.dataset))
    with closing(spread.shards(work, spread.split(range(len(part.dataset))), cores)) as shards:
        for shard in shards:
            yield from shard


def _judge_shard(
    network: Network,
    dataset: Dataset,
    fold: int | None,
    number: int,
    top: int,
    indices: Sequence[int],
) -> list[Judged | InputError]:
    """Judge some frames; pictures are kept of those that the page might show."""
    part = Part(network.segmenter, dataset, fold)
    outcomes: list[Judged | InputError] = []
    worst: list[tuple[float, int, Shown]] = []  # heap, the least suspect on top
    with closing(judge_frames(part, number, indices)) as judged:
        for index, frame in zip(indices, judged, strict=True):
            if isinstance(frame, InputError):
                outcomes.append(frame)
                continue
            score = frame.suspect.score
            if score is not None and top:
                heapq.heappush(worst, (-score, -index, frame.show()))
                if len(worst) > top:
                    heapq.heappop(worst)
            outcomes.append(frame._replace(show=partial(_no_pictures, frame.suspect)))
    shown = {-order: picture for _, order, picture in worst}
    return [
        frame._replace(show=partial(_same, shown[index]))
        if isinstance(frame, Judged) and index in shown
        else frame
        for index, frame in zip(indices, outcomes, strict=True)
    ]


def _same(shown: Shown) -> Shown:
    return shown


def _no_pictures(suspect: Suspect) -> Shown:
    """Of a frame that is not among its shard's worst: the driver drops it again."""
    return Shown(suspect, 0, 0, b"", b"")
