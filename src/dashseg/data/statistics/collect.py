"""A data set -> its statistics, by one pass over the frames or from what an earlier one kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dashseg.data.dataset import Dataset
from dashseg.data.statistics import cache
from dashseg.data.statistics.count import FrameCounts, Totals, count_frame
from dashseg.data.statistics.names import count_names
from dashseg.data.statistics.summary import Statistics, summarise
from dashseg.errors import InputError
from dashseg.parallel import in_processes


def collect(
    dataset: Dataset,
    workers: int | None = None,
    *,
    use_cache: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Statistics:
    """Count every frame once; if nothing has changed since the last time, none at all.

    Args:
        workers: processes; by default one per core. 1 works in this one.
        use_cache: False: count even if the sums are kept. They are kept either way.
        on_progress: called with (frames done, frames in all); not if the sums were kept.
        on_note: called with a line for the user: where the sums came from, or why they could not
            be kept.

    Raises:
        InputError: a frame that cannot be read.
    """
    note = on_note or (lambda line: None)
    made_of = cache.digest(dataset)  # before the frames: one that changes meanwhile shows next time
    try:
        file = cache.cache_file(dataset)
    except InputError as error:
        note(f"not kept for the next time: {error}")
        file = None
    totals = cache.load(file, made_of, len(dataset.classes)) if file and use_cache else None
    if totals is not None:
        note(f"no frame has changed since they were counted ({file}); --no-cache counts anew")
    else:
        totals = _count(dataset, workers, on_progress)
        if file:
            try:
                cache.store(file, made_of, dataset.root, totals)
            except InputError as error:
                note(f"not kept for the next time: {error}")
    return summarise(dataset, totals, count_names(dataset.names))


def _count(
    dataset: Dataset, workers: int | None, on_progress: Callable[[int, int], None] | None
) -> Totals:
    totals = Totals(len(dataset.classes))
    for frame in in_processes(partial(_count_one, dataset), range(len(dataset)), workers):
        totals.add(frame)
        if on_progress:
            on_progress(totals.frames, len(dataset))
    return totals


def _count_one(dataset: Dataset, index: int) -> FrameCounts:
    return count_frame(dataset[index], len(dataset.classes))
