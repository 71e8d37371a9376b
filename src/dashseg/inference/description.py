"""What an exported file says about itself: classes, size rule, precision.

It is JSON under the key `KEY` inside the file, so nothing beside the file is needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dashseg
from dashseg.config import InputConfig, parse_model
from dashseg.config.plain_yaml import read_yaml
from dashseg.errors import InputError
from dashseg.files import parse_json
from dashseg.labels import Classes

KEY = "dashseg"  # in the metadata of ONNX, and in the runtime info of OpenVINO


@dataclass(frozen=True)
class Description:
    """What is needed to use an exported network.

    Args:
        input: the size rule; its normalisation is in the graph already.
        precision: "fp32", "fp16" or "int8".
    """

    classes: Classes
    input: InputConfig
    precision: str

    def to_json(self) -> str:
        """As `from_json` reads it."""
        return json.dumps(
            {
                "schema": 1,
                "dashseg": dashseg.__version__,
                "precision": self.precision,
                "classes": classes_to_json(self.classes),
                "input": self.input.model_dump(mode="json"),
            }
        )

    @classmethod
    def from_json(cls, text: str, source: str) -> Description:
        """Read `to_json`; `source` names the file in errors.

        Raises:
            InputError: damaged, or written by a newer dashseg.
        """
        try:
            values = parse_json(text, source)
            check_schema(values, source)
            classes = classes_from_json(values["classes"], source)
            rule = parse_model({"input": values["input"]}, source).input
            return cls(classes, rule, str(values["precision"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{source}: its dashseg metadata is damaged: export it again") from (
                error
            )


@dataclass(frozen=True)
class Foreign:
    """What the user says of a network that dashseg did not export.

    Args:
        input: how it takes frames; None: as its file suggests.
    """

    classes: Classes
    input: InputConfig | None = None


def read_foreign(path: Path) -> Foreign:
    """Read the file of --classes: a palette, and under `input` the keys of a recipe's model.input.

        classes: {road: "#402020", lane markings: "#ff0000"}   # in id order
        input: {size: [384, 512], resize: squash, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}

    Raises:
        InputError: unreadable, or not of that form.
    """
    from dashseg.data.folder import read_palette  # rarely needed, and brings in much

    classes = read_palette(path, others=("input",))
    values = read_yaml(path)
    if "input" not in values:
        return Foreign(classes)
    return Foreign(classes, parse_model({"input": values["input"]}, str(path)).input)


def check_schema(values: Any, source: str) -> None:
    """Raise InputError unless `values["schema"]` is the one that is read here."""
    if values["schema"] != 1:
        raise InputError(
            f"{source}: schema {values['schema']}; this dashseg reads 1: install a newer one"
        )


def classes_to_json(classes: Classes) -> list[dict[str, Any]]:
    """[{"name": "road", "colour": [64, 32, 32]}, …] in id order."""
    return [
        {"name": name, "colour": list(colour)}
        for name, colour in zip(classes.names, classes.colours, strict=True)
    ]


def classes_from_json(entries: Any, source: str) -> Classes:
    """The reverse of `classes_to_json`.

    Raises:
        InputError: not a valid palette. KeyError, TypeError, ValueError: not of that form.
    """
    names = tuple(entry["name"] for entry in entries)
    colours = tuple((r, g, b) for r, g, b in (entry["colour"] for entry in entries))
    if not all(type(part) is int for colour in colours for part in colour):
        raise InputError(f"{source}: a colour has three parts from 0 to 255")
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a class's name is text")
    try:
        return Classes(names, colours)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
