"""The statistics of a data set, from sums over frames and names; and their JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashseg.curate.brightness import GROUPS
from dashseg.curate.class_balance import enet_weights, median_frequency_weights
from dashseg.curate.stats.count import GRID, LUMA_BINS, Totals
from dashseg.curate.stats.names import NameCounts
from dashseg.data.dataset import Dataset
from dashseg.labels import hex_colour


@dataclass(frozen=True)
class ClassStatistics:
    """One class over the whole data set."""

    name: str
    colour: str  # "#rrggbb"
    pixels: int
    share: float | None  # of the labelled pixels; None if there are none
    frames: int  # in which it occurs
    frame_share: float
    enet_weight: float | None  # 1 / ln(1.02 + share)
    median_frequency_weight: float | None  # 0 for a class that does not occur
    heat_map: NDArray[np.float64]  # GRID: mean over all frames of the cell's share it covers


@dataclass(frozen=True)
class Statistics:
    """What `dashseg data stats` prints."""

    root: str
    kind: str
    split: str
    images: int
    fingerprint: str
    sizes: dict[tuple[int, int], int]  # (H, W) -> frames, most frames first
    pixels: int  # ignored ones included
    ignored_pixels: int
    classes: tuple[ClassStatistics, ...]
    mean_luma: float
    luma_frames: tuple[int, ...]  # frames by mean luma, in LUMA_BINS equal bins from 0 to 256
    groups: dict[str, int]  # dark, dim, bright -> frames
    names: NameCounts

    @property
    def ignored_share(self) -> float:
        return self.ignored_pixels / self.pixels

    def to_dict(self) -> dict[str, Any]:
        """The JSON, schema 1; the same for the same frames.

        Shares are 0-1. `classes[].heat_map` has `heat_map_grid` rows and columns over the frame,
        top left first; `brightness.frames[i]` counts frames whose mean luma is from `edges[i]` to
        below `edges[i + 1]`. `names.hours` has 24 counts by the hour at which the frame's route
        began; it and `months` are null where names contain no time, `devices`, `routes` and
        `segments` where no name parses.
        """
        return {
            "schema": 1,
            "data": {
                "root": self.root,
                "kind": self.kind,
                "split": self.split,
                "images": self.images,
                "fingerprint": self.fingerprint,
            },
            "sizes": [
                {"height": height, "width": width, "frames": frames}
                for (height, width), frames in self.sizes.items()
            ],
            "pixels": self.pixels,
            "ignored_pixels": self.ignored_pixels,
            "ignored_share": self.ignored_share,
            "heat_map_grid": list(GRID),
            "classes": [
                vars(row) | {"heat_map": row.heat_map.round(4).tolist()} for row in self.classes
            ],
            "brightness": {
                "mean": self.mean_luma,
                "edges": [256 * edge / LUMA_BINS for edge in range(LUMA_BINS + 1)],
                "frames": list(self.luma_frames),
                "groups": {
                    group: {"below": None if below == float("inf") else below, "frames": frames}
                    for (group, below), frames in zip(
                        GROUPS.items(), self.groups.values(), strict=True
                    )
                },
            },
            "names": self.names.to_dict(),
        }


def summarise(dataset: Dataset, totals: Totals, names: NameCounts) -> Statistics:
    """Statistics of at least one frame."""
    labelled = int(totals.pixels.counts.sum())
    return Statistics(
        root=dataset.root,
        kind=dataset.kind,
        split=dataset.split,
        images=totals.frames,
        fingerprint=dataset.fingerprint(),
        sizes=dict(sorted(totals.sizes.items(), key=lambda item: (-item[1], item[0]))),
        pixels=totals.all_pixels,
        ignored_pixels=totals.all_pixels - labelled,
        classes=_class_statistics(dataset, totals, labelled),
        mean_luma=totals.luma / totals.frames,
        luma_frames=tuple(totals.luma_bins.tolist()),
        groups=totals.groups,
        names=names,
    )


def _class_statistics(
    dataset: Dataset, totals: Totals, labelled: int
) -> tuple[ClassStatistics, ...]:
    pixels = totals.pixels
    shares = enet = median = [None] * len(dataset.classes)
    if labelled:
        shares = (pixels.counts / labelled).tolist()
        enet = enet_weights(pixels.counts).tolist()
        median = median_frequency_weights(pixels.counts, pixels.present).tolist()
    return tuple(
        ClassStatistics(
            name=name,
            colour=hex_colour(dataset.classes.colours[index]),
            pixels=int(pixels.counts[index]),
            share=shares[index],
            frames=int(pixels.frames[index]),
            frame_share=int(pixels.frames[index]) / totals.frames,
            enet_weight=enet[index],
            median_frequency_weight=median[index],
            heat_map=totals.cover[..., index] / totals.frames,
        )
        for index, name in enumerate(dataset.classes.names)
    )
