"""`dashseg data pack`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashseg.cli import options
from dashseg.errors import InputError
from dashseg.progress import print_note, progress

if TYPE_CHECKING:
    from dashseg.data.pack import PackDataset


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
    dataset: options.Dataset = None,
    changes: options.DataChanges = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="DIR is a pack: check it against its checksums.")
    ] = False,
    workers: options.Workers = None,
    as_json: options.Json = False,
) -> None:
    """Decode a data set once, into arrays that every command reads. Rerun to resume."""
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
    frames, splits = open_whole(options.data_config(root, dataset, changes))
    frames.check()
    if out is None:
        assert isinstance(frames, PackDataset)
        with progress("verifying", "frames") as advance:
            frames.verify(advance)
        packed = frames
    else:
        if squash and size is None:
            raise InputError("--squash needs --size HxW")
        with progress("packing", "frames") as advance:
            packed = write_pack(
                frames, out, splits, options.parse_size(size) if size else None,
                "squash" if squash else "fit", filter, workers, advance, print_note,
            )  # fmt: skip
    _print(packed, as_json)


def _print(packed: PackDataset, as_json: bool) -> None:
    counts = Counter(packed.size(index) for index in range(len(packed)))
    taken = sum(4 * height * width * count for (height, width), count in counts.items())
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
                    "bytes": taken,
                    "fingerprint": packed.fingerprint(),
                }
            )
        )
        return
    sizes = ", ".join(f"{count} of {width}×{height}" for (height, width), count in counts.items())
    print(f"{len(packed)} frames in {packed.root}: {sizes}; {taken / 1e9:.2f} GB")
