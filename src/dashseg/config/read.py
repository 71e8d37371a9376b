"""A recipe's text -> a validated `Recipe`, or one line for each thing that is wrong with it.

`load_recipe` reads one by name or path and applies `--set a.b=value` overrides; `load_run_recipe`
reads what a run recorded.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from dashseg.config.schema import ModelConfig, Recipe
from dashseg.errors import InputError
from dashseg.run_directory import RunDirectory

_T = TypeVar("_T", bound=BaseModel)


@dataclass(frozen=True)
class _Renamed:
    """A key of earlier versions: what it is called now, in the same section, and says now."""

    now: str
    value: Callable[[Any], Any]


_RENAMED: dict[tuple[str, ...], _Renamed] = {
    ("data", "cache"): _Renamed("placement", lambda cached: "auto" if cached else "files"),
}


def recipe_names() -> list[str]:
    """Names of the recipes that come with dashseg."""
    folder = resources.files("dashseg.recipes")
    return sorted(file.name[:-5] for file in folder.iterdir() if file.name.endswith(".yaml"))


def load_recipe(source: str | Path | None, overrides: Iterable[str] = ()) -> Recipe:
    """Read a shipped recipe by name, or any recipe by path, and change what `overrides` say.

    Args:
        source: "demo", or the path of a YAML file; None starts from the defaults.
        overrides: "section.key=value" each, the value in YAML.

    Raises:
        InputError: unknown recipe, key (with the nearest right one) or value.
    """
    text, origin = ("", "recipe") if source is None else _recipe_text(source)
    return _changed(_values(text, origin), overrides, origin)


def load_run_recipe(run: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read the recipe that a run recorded, by this version or an earlier one.

    Args:
        run: the run directory.
        overrides: as `load_recipe` takes them.

    Raises:
        InputError: no recipe there, or as `load_recipe`.
    """
    text, origin = _recipe_text(RunDirectory(run).recipe)
    values = _values(text, origin)
    for (section, key), renamed in _RENAMED.items():
        recorded = values.get(section)
        if isinstance(recorded, dict) and key in recorded:
            recorded[renamed.now] = renamed.value(recorded.pop(key))
    return _changed(values, overrides, origin)


def _values(text: str, origin: str) -> dict[str, Any]:
    """The sections of a recipe's text, not looked into yet."""
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise InputError(f"{origin}: not valid YAML{line}") from error
    if not isinstance(values, dict):
        raise InputError(f"{origin}: a recipe is a mapping of sections ({_keys(Recipe)})")
    return values


def _changed(values: dict[str, Any], overrides: Iterable[str], origin: str) -> Recipe:
    for override in overrides:
        _apply(values, override)
    return parse_recipe(values, origin)


def parse_recipe(values: dict[str, Any], origin: str) -> Recipe:
    """Validate nested dictionaries as a recipe; `origin` names them in errors."""
    return _parse(Recipe, values, origin)


def parse_model(values: dict[str, Any], origin: str) -> ModelConfig:
    """Validate nested dictionaries as the `model` section alone, as model directories keep it."""
    return _parse(ModelConfig, values, origin)


def change_recipe(recipe: Recipe, **sections: dict[str, Any]) -> Recipe:
    """A copy with some keys of some sections replaced: `change_recipe(r, data={"root": path})`."""
    values = recipe.model_dump()
    for section, changes in sections.items():
        values[section].update(changes)
    return parse_recipe(values, "recipe")


def override_recipe(recipe: Recipe, overrides: Iterable[str]) -> Recipe:
    """A copy with `overrides` applied, as `load_recipe` takes them."""
    values = recipe.model_dump()
    for override in overrides:
        _apply(values, override)
    return parse_recipe(values, "recipe")


def _parse(schema: type[_T], values: dict[str, Any], origin: str) -> _T:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{origin}: " + "; ".join(_explain(schema, error))) from error


def _recipe_text(source: str | Path) -> tuple[str, str]:
    names = recipe_names()
    if str(source) in names:
        text = resources.files("dashseg.recipes").joinpath(f"{source}.yaml").read_text("utf-8")
        return text, f"recipe {source}"
    path = Path(source)
    if path.suffix in (".yaml", ".yml"):
        try:
            return path.read_text("utf-8"), str(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8 text") from error
    near = _nearest(str(source), names)
    raise InputError(
        f"no recipe is called '{source}'{near}: the shipped ones are {', '.join(names)};"
        " your own is given by the path of its .yaml file"
    )


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"--set {override}: expected section.key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {override}: the value is not valid YAML") from error
    *parents, last = key.strip().split(".")
    target = values
    for parent in parents:
        if not isinstance(target.get(parent), dict):
            target[parent] = {}
        target = target[parent]
    target[last] = value


def _explain(schema: type[BaseModel], error: ValidationError) -> Iterator[str]:
    """One line per problem, with the nearest right key for a misspelt one."""
    seen = set()
    for problem in error.errors():
        path = [part for part in problem["loc"] if isinstance(part, str)]
        if problem["type"] == "extra_forbidden":
            section = _schema_at(schema, path[:-1])
            if renamed := _RENAMED.get(tuple(path)):
                now = ".".join([*path[:-1], renamed.now])
                yield f"'{'.'.join(path)}' is '{now}' now: {renamed.value(problem['input'])}"
                continue
            near = _nearest(path[-1], section.model_fields)
            yield f"unknown key '{'.'.join(path)}'{near}; known here: {_keys(section)}"
            continue
        path = [part for part in path if _is_key(part)]
        if tuple(path) in seen:  # a union reports each of its members
            continue
        seen.add(tuple(path))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "tuple_type":
            message = "Input should be a list in brackets, such as [256, 320]"
        if problem["type"] == "value_error":
            yield f"{'.'.join(path)}: {message}"
        else:
            yield f"{'.'.join(path)}: {message} (got {problem['input']!r})"


def _is_key(part: str) -> bool:
    """Pydantic mixes the names of a union's members into the path of a field."""
    return part.isidentifier() and part not in ("tuple", "literal")


def _schema_at(schema: type[BaseModel], path: list[str]) -> type[BaseModel]:
    for key in path:
        annotation = schema.model_fields[key].annotation
        candidates = (annotation, *get_args(annotation))
        schema = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return schema


def _nearest(word: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{match[0]}'?)" if match else ""


def _keys(schema: type[BaseModel]) -> str:
    return ", ".join(schema.model_fields)
