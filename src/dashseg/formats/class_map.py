"""Which class of a source becomes which class of the data set.

# MAP.yaml
classes:                      # the data set's classes, in the order of their ids
  road: [road, parking]       # the source's names, ids or colours; "x*": any that begins with x
  car: {from: [car, "7", "#00008e"], colour: "#00ff66"}
ignore: [void, ego vehicle]   # these pixels do not count
background: ignore            # what no shape covers: a class above, or ignore (the default)
overlap: source               # which shape lies above: as the tool drew them (the default, but COCO
                              # and YOLO have no order); classes: that of the later class
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashseg.config.plain_yaml import read_yaml
from dashseg.errors import InputError
from dashseg.formats.source import SourceClass
from dashseg.labels import COMMA10K, IGNORE, Classes, Colour, hex_colour, parse_colour

UNMAPPED = 254
COMMA10K_MAPS = "comma10k"
_IGNORE = "ignore"  # a target that is no class, and the name that exports give to such pixels
_KEYS = ("classes", "ignore", "background", "overlap")
# Tried in turn for ignored pixels, until one is no class's colour. The second is Pascal VOC's void.
_IGNORE_COLOURS = ((0, 0, 0), (224, 224, 192), (255, 255, 255), (255, 0, 255))


@dataclass(frozen=True)
class ClassMap:
    """How a source's classes become a data set's.

    Args:
        classes: the data set's.
        targets: uint8 (number of source classes,): target id, 255 (ignore), or `UNMAPPED`.
        background: target id of pixels that no shape covers.
        by_class: shapes are drawn in the order of the target classes, not in the source's.
        unused: names in the map that the source does not have.
    """

    classes: Classes
    targets: NDArray[np.uint8]
    background: int = IGNORE
    by_class: bool = False
    unused: tuple[str, ...] = ()

    @property
    def ranks(self) -> list[int] | None:
        """For `dashseg.formats.drawing.to_label`."""
        if not self.by_class:
            return None
        return [-1 if target == IGNORE else int(target) for target in self.targets]


def same_classes(source: Sequence[SourceClass]) -> ClassMap:
    """The source's own classes. Those it ignores, and one that is called "ignore", become 255.

    Raises:
        InputError: no class is left, or two have one name.
    """
    kept = [entry for entry in source if not _is_ignored(entry)]
    if not kept:
        raise InputError("the source names no class; name them with --classes MAP.yaml")
    ids = iter(range(len(kept)))
    targets = [IGNORE if _is_ignored(entry) else next(ids) for entry in source]
    names = tuple(entry.name for entry in kept)
    classes = _classes(names, [entry.colour for entry in kept])
    return ClassMap(classes, np.array(targets, np.uint8))


def read_class_map(
    wanted: str, source: Sequence[SourceClass], format: str, ordered: bool = True
) -> ClassMap:
    """Read a map file, or the built-in one to comma10k's classes.

    Args:
        wanted: a path, or "comma10k".
        format: the source's format, whose built-in map is taken.
        ordered: the format says which shape lies above another.

    Raises:
        InputError: unreadable, of another form, or one source class in two places.
    """
    if wanted != COMMA10K_MAPS:
        return _parse(read_yaml(Path(wanted), as_text=True), source, wanted, ordered)
    maps = resources.files("dashseg.formats") / "maps"
    file = maps / f"{format}.yaml"
    if not file.is_file():
        known = sorted(entry.name.removesuffix(".yaml") for entry in maps.iterdir())
        raise InputError(
            f"--classes comma10k: there is no built-in map for {format}, only for"
            f" {', '.join(known)}; write a MAP.yaml"
        )
    with resources.as_file(file) as path:
        return _parse(read_yaml(path, as_text=True), source, file.name, ordered, COMMA10K)


def _parse(
    values: Any,
    source: Sequence[SourceClass],
    path: str,
    ordered: bool,
    known: Classes | None = None,
) -> ClassMap:
    if not isinstance(values, dict) or not isinstance(values.get("classes"), dict):
        raise InputError(f"{path}: expected a mapping 'classes' of names to the source's names")
    if stray := [key for key in values if key not in _KEYS]:
        raise InputError(f"{path}: unknown key '{stray[0]}'; known: {', '.join(_KEYS)}")
    names = tuple(values["classes"])
    rules = [_rule(rule, f"{path}: classes.{name}") for name, rule in values["classes"].items()]
    colours = known.colours if known else [colour for _, colour in rules]
    classes = _classes(names, colours, path)
    ignored = _names(values.get("ignore", []), f"{path}: ignore")
    targets = np.full(len(source), UNMAPPED, np.uint8)
    taken: dict[int, str] = {}
    unused = []
    entries = [(key, index) for index, (keys, _) in enumerate(rules) for key in keys]
    entries += [(key, IGNORE) for key in ignored]
    # Full names first, then the longest beginnings: the more precise key decides.
    entries.sort(key=lambda entry: (entry[0].endswith("*"), -len(entry[0])))
    for key, target in entries:
        found = _find(key, source)
        if not found:
            unused.append(key)
        for index in found:
            if index in taken and key.endswith("*"):
                continue
            if index in taken:
                raise InputError(
                    f"{path}: {key} and {taken[index]} both mean the source's class"
                    f" '{source[index].name}'"
                )
            taken[index] = key
            targets[index] = target
    background = values.get("background", _IGNORE)
    if background != _IGNORE and background not in classes.names:
        raise InputError(f"{path}: background '{background}' is none of {', '.join(names)}, ignore")
    overlap = values.get("overlap", "source" if ordered else "classes")
    if overlap not in ("classes", "source"):
        raise InputError(f"{path}: overlap is '{overlap}'; it can be classes or source")
    covered = IGNORE if background == _IGNORE else classes.names.index(background)
    for index, entry in enumerate(source):
        if targets[index] == UNMAPPED and _is_ignored(entry):
            targets[index] = IGNORE
    return ClassMap(classes, targets, covered, by_class=overlap == "classes", unused=tuple(unused))


def _rule(rule: Any, where: str) -> tuple[list[str], Colour | None]:
    if isinstance(rule, dict):
        if stray := [key for key in rule if key not in ("from", "colour")]:
            raise InputError(f"{where}: unknown key '{stray[0]}'; known: from, colour")
        colour = parse_colour(rule["colour"], f"{where}: ") if "colour" in rule else None
        return _names(rule.get("from", []), where), colour
    return _names(rule, where), None


def _names(value: Any, where: str) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(name, str) for name in values):
        raise InputError(f"{where}: expected a name, or a list of names, ids or colours")
    return values


def _find(key: str, source: Sequence[SourceClass]) -> list[int]:
    """Indices of the source classes that a key of a map means: by name, else by id or colour."""
    if key.endswith("*"):
        return [i for i, entry in enumerate(source) if entry.name.startswith(key[:-1])]
    named = [index for index, entry in enumerate(source) if entry.name == key]
    return named or [
        index
        for index, entry in enumerate(source)
        if key == str(entry.id)
        or (entry.colour is not None and key.lower() == hex_colour(entry.colour))
    ]


def _is_ignored(entry: SourceClass) -> bool:
    return entry.ignore or entry.name == _IGNORE


def _classes(names: Sequence[str], colours: Sequence[Colour | None], path: str = "") -> Classes:
    """Classes with a colour each, and one for ignored pixels."""
    doubled = next((name for name in names if list(names).count(name) > 1), None)
    if doubled is not None:
        raise InputError(f"{path + ': ' if path else ''}two classes are called '{doubled}'")
    taken = {colour for colour in colours if colour is not None}
    chosen: list[Colour] = []
    for index, colour in enumerate(colours):
        if colour is None or colour in chosen:
            colour = _free_colour(index, {*taken, *chosen})
        chosen.append(colour)
    ignore = next(colour for colour in _IGNORE_COLOURS if colour not in chosen)
    return Classes(tuple(names), tuple(chosen), aliases={ignore: IGNORE})


def _free_colour(index: int, taken: set[Colour]) -> Colour:
    """A colour of its own: hues in steps of the golden ratio are far apart."""
    while True:
        hue = index * 0.618034 % 1
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.55 + 0.4 * (index % 2), 0.95)
        colour = round(red * 255), round(green * 255), round(blue * 255)
        if colour not in taken and colour not in _IGNORE_COLOURS:
            return colour
        index += 1
