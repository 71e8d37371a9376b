"""Check a data set's folder: every file is read once, in parallel, in constant memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dashseg.config import DataConfig, Part
from dashseg.curate.check.inspect import Facts, inspect
from dashseg.curate.check.inventory import Inventory, take_inventory
from dashseg.curate.check.judge import judge
from dashseg.curate.check.problems import CODES, Problem
from dashseg.data import comma10k
from dashseg.data.sources import find_layout
from dashseg.errors import InputError
from dashseg.parallel import Spread, in_processes

SCHEMA = 1


@dataclass(frozen=True)
class Report:
    """What a check found.

    Args:
        root: the folder, as the user named it.
        kind: the data set's layout.
        facts: of `inventory.work()`, in its order.
        problems: by code, then file; without ignored codes.
        ignored: the codes that were not looked for.
    """

    root: str
    kind: str
    inventory: Inventory
    facts: list[Facts]
    problems: list[Problem]
    ignored: tuple[str, ...] = ()

    @property
    def has_parts(self) -> bool:
        """Whether it has comma10k's layout."""
        return self.kind in ("comma10k", "synthetic")

    @property
    def pairs(self) -> int:
        """Frames that have an image and a mask."""
        return sum(bool(slot.image and slot.mask) for slot in self.inventory.slots.values())

    def counts(self) -> dict[str, int]:
        """Problems per code, of the codes that occur."""
        found = Counter(problem.code for problem in self.problems)
        return {code: found[code] for code in CODES if code in found}

    def opaque_alpha(self) -> int:
        """Files with an alpha channel that is opaque everywhere, which is harmless."""
        sides = (side for one in self.facts for side in (one.image, one.mask))
        return sum(side is not None and side.alpha == (0, 0) for side in sides)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "root": self.root,
            "dataset": self.kind,
            "pairs": self.pairs,
            "opaque_alpha": self.opaque_alpha(),
            "ignored": list(self.ignored),
            "counts": self.counts(),
            "problems": [problem.to_json() for problem in self.problems],
        }


def check(
    root: str,
    kind: str | None = None,
    parts: tuple[Part, ...] | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    ignore: tuple[str, ...] = (),
    spread: Spread = in_processes,
) -> Report:
    """Find everything that is wrong with the files of a data set.

    Args:
        root: its folder.
        kind: its layout; None: recognised.
        parts: comma10k's parts to check; None: those that are there.
        workers: processes; None: one per core.
        on_progress: called with (frames read, all frames).
        ignore: codes that are no problem here.
        spread: does the work.

    Raises:
        InputError: no such folder, no known layout, no images, or no such code.
    """
    for code in ignore:
        if code not in CODES:
            raise InputError(f"--ignore {code}: no such code; there are {', '.join(CODES)}")
    kind, layout = find_layout(root, kind)
    if layout is not comma10k and parts:
        raise InputError(f"--parts {','.join(parts)}: {root} is {kind}; only comma10k has parts")
    path = Path(root)
    if layout is comma10k:
        chosen = parts or comma10k.parts_in(path)
        if not chosen:
            raise InputError(f"{root}: none of comma10k's folders imgs/, imgs2/, imgsd/ is there")
        config = DataConfig(root=root, parts=chosen)
    else:
        config = DataConfig(root=root)
    inventory = take_inventory(path, layout.folders(path, config), layout is comma10k)
    if not inventory.slots:
        raise InputError(f"{root}: no images found")
    look = partial(inspect, inventory.pairs)
    facts = list(spread(look, inventory.work(), workers, on_progress))
    problems = [p for p in judge(inventory, facts) if p.code not in ignore]
    return Report(root, kind, inventory, facts, problems, ignore)
