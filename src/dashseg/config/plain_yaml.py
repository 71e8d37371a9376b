"""YAML of plain values, for recipes and palettes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import BaseConstructor, ConstructorError

from dashseg.errors import InputError
from dashseg.files import read_text

_MAX_YAML = 1 << 20  # bytes: 10 s to parse


def read_yaml(path: Path, as_text: bool = False) -> Any:
    """The value of a YAML file; see `parse_yaml`.

    Raises:
        InputError: as `read_text` and `parse_yaml`.
    """
    return parse_yaml(read_text(path, _MAX_YAML), str(path), as_text)


def parse_yaml(text: str, source: str, as_text: bool = False) -> Any:
    """The value of a YAML text: mappings, lists and scalars; None if it is empty.

    Args:
        source: names the text in errors.
        as_text: scalars stay as they are written: `on`, `1e3` and dates are names.

    Raises:
        InputError: not YAML, a key twice, or an alias (a few lines of them can stand for 10⁹
            values).
    """
    try:
        return yaml.load(text, Loader=_AsWritten if as_text else _Plain)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}: {error.problem}" if mark else ""
        raise InputError(f"{source}: not valid YAML{where}") from error
    except Exception as error:  # PyYAML has many kinds for scalars such as 2020-13-45 and !!int ''
        raise InputError(f"{source}: not valid YAML") from error


class _Strict(Composer, BaseConstructor):
    def compose_node(self: Any, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise ConstructorError(problem="aliases (*name) are not read", problem_mark=mark)
        return Composer.compose_node(self, parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep)
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if len(mapping) < len(node.value):
            (name, _), *_ = names.most_common(1)
            raise ConstructorError(problem=f"'{name}' is there twice", problem_mark=node.start_mark)
        return mapping


def _strict(loader: Any) -> Any:
    """A loader of PyYAML's that obeys `_Strict`, also if C reads its text."""

    def start(self: Any, text: str) -> None:
        loader.__init__(self, text)
        Composer.__init__(self)

    return type(loader.__name__, (_Strict, loader), {"__init__": start})


_IN_C = yaml.__with_libyaml__  # a fifth of the time
_Plain = _strict(yaml.CSafeLoader if _IN_C else yaml.SafeLoader)
_AsWritten = _strict(yaml.CBaseLoader if _IN_C else yaml.BaseLoader)
