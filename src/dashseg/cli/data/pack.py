"""`dashseg data pack`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dashseg.cli import options
from dashseg.errors import InputError
from dashseg.progress import print_note, progress

if TYPE_CHECKING:
    from dashseg.data import Dataset
    from dashseg.data.pack import PackDataset
    from dashseg.training.teacher import PackTeacher

_SHARD = 4  # frames that a process of a cluster sends at once: 4 MB each at comma10k's size


def pack(
    root: Annotated[
        str, typer.Argument(metavar="DIR", help="Folder of frames and masks, or synthetic:N:SEED.")
    ],
    out: Annotated[Path | None, typer.Argument(help="New folder for the pack.")] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", help="HxW to fit frames into. Default: native size."),
    ] = None,
    squash: Annotated[
        bool, typer.Option("--squash", help="Fill --size instead of keeping the aspect ratio.")
    ] = False,
    filter: Annotated[
        str, typer.Option("--filter", help="How to resize images: area, bilinear or nearest.")
    ] = "area",
    predictions: Annotated[
        str | None,
        typer.Option(
            "--predictions",
            metavar="MODEL",
            help="Store this model's predictions too, for loss.teacher.model=pack.",
        ),
    ] = None,
    unlabelled: Annotated[
        bool,
        typer.Option(
            "--unlabelled",
            help="DIR is a folder of frames without masks, or a video; needs --predictions.",
        ),
    ] = False,
    dataset: options.Dataset = None,
    changes: options.DataChanges = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="DIR is a pack: check it against its checksums.")
    ] = False,
    workers: options.Workers = None,
    device: options.Device = "auto",
    cluster: options.Cluster = None,
    as_json: options.Json = False,
) -> None:
    """Decode a data set once, into arrays that every command reads. Rerun to resume."""
    from dashseg.config import InputConfig
    from dashseg.curate.pack import pack as write_pack
    from dashseg.data.pack import PackDataset, is_pack
    from dashseg.data.sources import open_whole

    if verify and not is_pack(Path(root)):
        raise InputError(f"{root}: not a pack, so there is nothing to verify")
    if verify == (out is not None):
        raise InputError(
            "--verify takes one folder, the pack"
            if verify
            else "name a new folder for the pack: OUT"
        )
    if squash and size is None:
        raise InputError("--squash needs --size HxW")
    if verify and (predictions is not None or unlabelled):
        raise InputError("--verify takes neither --predictions nor --unlabelled")
    if unlabelled and predictions is None:
        raise InputError("--unlabelled needs --predictions MODEL, whose classes the pack has")
    if device != "auto" and predictions is None:
        raise InputError("--device is where --predictions MODEL computes: give both")
    if cluster is not None and (verify or unlabelled):
        raise InputError("--verify and --unlabelled read on this machine: leave --cluster out")
    spread = options.cluster_spread(cluster, root, largest=_SHARD) if cluster else None
    teacher = None if predictions is None else _open_teacher(predictions, device)
    packed_size = options.parse_size(size) if size else None
    resize: Literal["squash", "fit"] = "squash" if squash else "fit"
    config = options.data_config(root, dataset, changes)
    frames: Dataset
    if unlabelled:
        from dashseg.inference.video.read import is_video_file
        from dashseg.training.unlabelled import open_unlabelled

        assert teacher is not None
        config = config.model_copy(update={"unlabelled": (root,)})
        input = InputConfig(size=packed_size, resize=resize)
        found = open_unlabelled(config, input, teacher.segmenter.classes)
        assert found is not None
        frames, splits = found, {"train": {*found.names}, "val": set()}
        workers = 1 if is_video_file(Path(root)) else workers  # its frames are in memory
    else:
        frames, splits = open_whole(config)
    frames.check()
    if teacher is not None and teacher.classes != frames.classes.names:
        print_note(
            f"{teacher.model} has other classes than the data: training takes the predictions only"
            f" where its own classes are {', '.join(teacher.classes)}"
        )
    if out is None:
        assert isinstance(frames, PackDataset)
        with progress("verifying", "frames") as advance:
            frames.verify(advance)
        packed = frames
    else:
        with ExitStack() as bar:  # one at a time
            advance = bar.enter_context(progress("packing", "frames"))
            predicted: Callable[[int, int], None] | None = None

            def on_predicted(done: int, count: int) -> None:
                nonlocal predicted
                if predicted is None:
                    bar.close()
                    predicted = bar.enter_context(progress("predicting", "frames"))
                predicted(done, count)

            packed = write_pack(
                frames, out, splits, packed_size, resize, filter, workers, advance, print_note,
                teacher, on_predicted, spread,
            )  # fmt: skip
    _print(packed, as_json)


def _open_teacher(model: str, device: str) -> PackTeacher:
    from dashseg.hub.training_data import training_data
    from dashseg.inference.loading import find_model, load
    from dashseg.training.teacher import PackTeacher

    teacher = PackTeacher(load(model, device=device))  # which refuses an exported model
    path, run = find_model(model)
    known = training_data(path.parent, run)
    teacher.trained_on = None if known is None else tuple(source.to_dict() for source in known)
    return teacher


def _print(packed: PackDataset, as_json: bool) -> None:
    counts = Counter(packed.size(index) for index in range(len(packed)))
    taken = sum(4 * height * width * count for (height, width), count in counts.items())
    taught = packed.predictions
    codes = sum(packed.prediction(i).nbytes for i in range(len(packed))) if taught else 0
    if as_json:
        print(
            json.dumps(
                {
                    "schema": 1,
                    "root": packed.root,
                    "frames": len(packed),
                    "sizes": [
                        {"height": height, "width": width, "frames": count}
                        for (height, width), count in counts.items()
                    ],
                    "resized": packed.resized,
                    "bytes": taken + codes,
                    "predictions": taught
                    and {
                        "model": taught.model,
                        "digest": taught.digest,
                        "bytes": codes,
                    },
                    "fingerprint": packed.fingerprint(),
                }
            )
        )
        return
    sizes = ", ".join(f"{count} of {width}×{height}" for (height, width), count in counts.items())
    more = f", of which predictions of {taught.model} {codes / 1e9:.2f} GB" if taught else ""
    print(f"{len(packed)} frames in {packed.root}: {sizes}; {(taken + codes) / 1e9:.2f} GB{more}")
