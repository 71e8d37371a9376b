"""Compute the statistics of a data set in one pass over its frames, or read them from the cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashseg.curate.stats import cache
from dashseg.curate.stats.cache import Counted
from dashseg.curate.stats.count import FrameCounts, Totals, count_frame
from dashseg.curate.stats.names import count_names
from dashseg.curate.stats.summary import Statistics, summarise
from dashseg.data.dataset import Dataset
from dashseg.errors import InputError
from dashseg.labels import count_ids
from dashseg.parallel import Spread, in_processes


def collect(
    dataset: Dataset,
    workers: int | None = None,
    *,
    use_cache: bool = True,
    spread: Spread = in_processes,
    on_progress: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Statistics:
    """Count every frame once, or none if nothing has changed since the last time.

    Args:
        workers: processes; by default one per core. 1 works in this one.
        use_cache: False: do not read cached results. They are written either way.
        spread: does the work.
        on_progress: called with (frames done, frames in all); not if the cache is used.
        on_note: called with a line for the user: that the cache was used, or why nothing could be
            cached.

    Raises:
        InputError: a frame that cannot be read.
    """
    totals = _cached(
        dataset,
        "statistics",
        lambda: _count(dataset, workers, spread, on_progress).to_json(),
        lambda values: Totals.from_json(values, len(dataset.classes)),
        use_cache,
        on_note,
    )
    return summarise(dataset, totals, count_names(dataset.names))


def collect_class_pixels(
    dataset: Dataset,
    workers: int | None = None,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> NDArray[np.int64]:
    """Pixels of each class in each frame, (N, C), of which any split's shares are sums.

    Images are not read. Arguments and errors are those of `collect`.
    """
    classes = len(dataset.classes)

    def count() -> list[list[int]]:
        work = partial(_class_pixels, dataset)
        return list(in_processes(work, range(len(dataset)), workers, on_progress))

    def parse(values: list[list[int]]) -> NDArray[np.int64]:
        return np.array(values, np.int64).reshape(len(dataset), classes)

    return _cached(dataset, "class-pixels", count, parse, True, on_note)


def _cached(
    dataset: Dataset,
    what: str,
    count: Callable[[], Any],
    parse: Callable[[Any], Counted],
    use_cache: bool,
    on_note: Callable[[str], None] | None,
) -> Counted:
    """Cached statistics if no frame has changed; else `parse(count())`, which is cached.

    Args:
        count: returns JSON values.
        use_cache: False: do not read the cache.
    """
    note = on_note or (lambda line: None)
    made_of = cache.digest(dataset)  # before counting: a later change then shows next time
    try:
        file = cache.cache_file(dataset, what)
    except InputError as error:
        note(f"not cached: {error}")
        file = None
    found = cache.load(file, made_of, parse) if file and use_cache else None
    if found is not None:
        note(f"from the cache, as no frame has changed ({file})")
        return found
    values = count()
    if file:
        try:
            cache.store(file, made_of, dataset.root, values)
        except InputError as error:
            note(f"not cached: {error}")
    return parse(values)


def _class_pixels(dataset: Dataset, index: int) -> list[int]:
    return count_ids(dataset.label(index))[: len(dataset.classes)].tolist()


def _count(
    dataset: Dataset,
    workers: int | None,
    spread: Spread,
    on_progress: Callable[[int, int], None] | None,
) -> Totals:
    totals = Totals(len(dataset.classes))
    work = partial(_count_one, dataset)
    for frame in spread(work, range(len(dataset)), workers, on_progress):
        totals.add(frame)
    return totals


def _count_one(dataset: Dataset, index: int) -> FrameCounts:
    return count_frame(dataset[index], len(dataset.classes))
