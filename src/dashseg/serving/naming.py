"""What users call models -> their names in URLs: `names_for`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

_ANY_MODEL = ("model", "model.xml", "model.onnx")  # what each is called says nothing


def names_for(models: Sequence[str]) -> list[str]:
    """One name for each model: of letters, digits, dots, hyphens and underscores; no two the same.

    >>> names_for(["small", "runs/first", "runs/second/model", "exported/model.xml", "a/first"])
    ['small', 'first', 'second', 'exported', 'first-2']
    """
    names: list[str] = []
    for model in models:
        path = PurePath(model)
        if path.name in _ANY_MODEL and path.parent.name:
            path = path.parent
        bare = re.sub(r"\.(xml|onnx)$", "", path.name)
        name = re.sub("[^A-Za-z0-9._-]+", "-", bare).strip(".-") or "model"
        number, unique = 1, name
        while unique in names:
            number += 1
            unique = f"{name}-{number}"
        names.append(unique)
    return names
