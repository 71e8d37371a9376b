"""`dashseg predict --cluster`: plan, hand out, count, and say what failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dashseg.errors import InputError
from dashseg.scale import MAX_ERRORS
from dashseg.scale.cluster import connected, size, work
from dashseg.scale.model import read_model, store
from dashseg.scale.outputs import FORMATS
from dashseg.scale.overwrite import remove_earlier
from dashseg.scale.plan import Plan, extend, read_plan
from dashseg.scale.record import ERRORS, FOLDER, Record, Settings, code_digest
from dashseg.scale.sources import rows_of
from dashseg.scale.storage import TEMPORARY, Storage, absolute
from dashseg.scale.worker import Job, Worker


@dataclass
class ClusterReport:
    """Frames that this call wrote, that earlier ones had written, and in rows that failed."""

    written: int = 0
    kept: int = 0
    failed: int = 0


def predict(
    model: str,
    inputs: Sequence[str],
    out: str,
    cluster: str,
    *,
    format: Literal["files", "parquet"] = "files",
    overwrite: bool = False,
    max_errors: int = MAX_ERRORS,
    tta: Sequence[str] = (),
    classes: str | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    cores: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ClusterReport:
    """Segment on a Ray cluster what `inputs` name. The same call resumes one that was stopped.

    Args:
        model: as `load` takes it; its files are copied to `out` for the machines of the cluster.
        inputs: folders, images, videos, tars, glob patterns, and lists of paths (.txt, .csv,
            .parquet), here or by URL. All machines must see them under the same name. Of a video,
            each frame's files are written, named by its number.
        out: a folder that all machines share, or a URL. "files": masks/ and overlays/ as
            `predict_files` writes them; "parquet": frames/, see `outputs.Parquet`. Rows that fail
            are listed in errors.parquet.
        cluster: "auto" or HOST:PORT, see `cluster.connected`.
        max_errors: frames that may fail before the run stops.
        device: "auto" takes the cluster's GPUs if it has any.
        batch_size: frames that the network gets at once, as in `Pace`.
        cores: of each actor, see `cluster.size`.
        on_progress: called with (frames done, frames in all).

    Raises:
        InputError: an input, the model or the cluster cannot be used; `out` holds something else,
            or what other inputs, another model or another version made; too many rows failed.
    """
    files = read_model(model, classes)
    storage = Storage(absolute(out), f"{FOLDER}/{TEMPORARY}")
    record = Record(storage)
    settings = Settings(
        tuple(map(absolute, inputs)), format, files.digest(), tuple(tta), code_digest()
    )
    with connected(cluster) as ray:
        sizing = size(ray, device, cores)
        earlier = record.settings()
        if earlier is not None and overwrite:
            remove_earlier(storage, record)
        elif earlier is None:
            _require_free(storage, FORMATS[format].folders)
        else:
            settings.check(earlier, storage.name)
        if earlier is None or overwrite:
            store(record.folder, files)
            record.begin_run(settings)
        record.folder.delete(TEMPORARY)
        plan = extend(read_plan(record.folder), rows_of(inputs), FORMATS[format].largest)
        job = Job(
            storage, format, files.first, files.digest(), settings.code,
            device, settings.tta, batch_size,
        )  # fmt: skip
        report, pending, sizes = unfinished(plan, record)
        total = int(sizes.sum())
        try:
            with closing(work(ray, partial(Worker, job), pending.tolist(), sizing)) as outcomes:
                done = report.kept
                for _, outcome in outcomes:
                    report.written += outcome.frames - outcome.errors
                    report.failed += outcome.errors
                    done += outcome.frames
                    if on_progress:
                        on_progress(done, total)
                    if report.failed > max_errors:
                        raise InputError(
                            f"{report.failed} frames failed, more than --max-errors {max_errors}:"
                            f" {storage.url(ERRORS)} says why. Rerun the command to resume"
                        )
        finally:
            record.write_errors(storage)
            record.folder.delete(TEMPORARY)
    return report


def unfinished(
    plan: Plan, record: Record
) -> tuple[ClusterReport, NDArray[np.int64], NDArray[np.int64]]:
    """What is done, the shards to do, and how many frames each shard of the plan has."""
    sizes = plan.sizes()
    done, failed = record.shards()
    waiting = np.ones(len(sizes), bool)
    waiting[done] = False
    kept = int(sizes[~waiting].sum())
    for shard in failed:
        if not waiting[shard]:  # its rows that failed are tried again
            waiting[shard] = True
            kept -= len(record.failed(int(shard)))
    return ClusterReport(kept=kept), np.flatnonzero(waiting), sizes


def _require_free(storage: Storage, folders: Sequence[str]) -> None:
    """Raise InputError if something is where the outputs go."""
    for name in (*folders, ERRORS):
        if storage.size(name) is not None or next(Storage(storage.url(name)).walk(), None):
            raise InputError(
                f"{storage.url(name)} exists: choose another --out for what a cluster writes"
            )
