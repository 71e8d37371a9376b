"""A recipe's text -> a validated `Recipe`, or an error that names everything wrong with it.

`load_recipe` reads a recipe by name or path and applies `--set a.b=value` overrides.
`load_run_recipe` reads the one that a run recorded.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from dashseg.config.plain_yaml import parse_yaml, read_yaml
from dashseg.config.schema import ModelConfig, Recipe
from dashseg.config.section import Section
from dashseg.errors import InputError
from dashseg.run_directory import RunDirectory

_T = TypeVar("_T", bound=Section)


def recipe_names() -> list[str]:
    """Names of the recipes that come with dashseg."""
    folder = resources.files("dashseg.recipes")
    return sorted(file.name[:-5] for file in folder.iterdir() if file.name.endswith(".yaml"))


def load_recipe(source: str | Path | None, overrides: Iterable[str] = ()) -> Recipe:
    """Read a shipped recipe by name, or any recipe by path, and apply `overrides`.

    Args:
        source: "demo", or the path of a YAML file; None starts from the defaults.
        overrides: "section.key=value" each, the value in YAML.

    Raises:
        InputError: unknown recipe, key (with the nearest right one) or value.
    """
    values, origin = ({}, "recipe") if source is None else _read_recipe(source)
    if not isinstance(values, dict):
        raise InputError(f"{origin}: a recipe is a mapping of sections ({_keys(Recipe)})")
    for override in overrides:
        _apply(values, override)
    return parse_recipe(values, origin)


def load_run_recipe(run: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read the recipe that the run in this directory recorded, as `load_recipe` does.

    Raises:
        InputError: also if sections are missing: the default would hold, and not what was recorded.
    """
    path = RunDirectory(run).recipe
    values = read_yaml(path)
    if missing := [
        key for key in Recipe.model_fields if not isinstance(values, dict) or key not in values
    ]:
        raise InputError(f"{path}: cut off, or not a run's recipe: it has no {', '.join(missing)}")
    return load_recipe(path, overrides)


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
    values = recipe.model_dump(exclude_unset=True)  # unset: a default may depend on an override
    for override in overrides:
        _apply(values, override)
    return parse_recipe(values, "recipe")


def _parse(schema: type[_T], values: dict[str, Any], origin: str) -> _T:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{origin}: " + "; ".join(_explain(schema, error))) from error


def _read_recipe(source: str | Path) -> tuple[Any, str]:
    """The values of a recipe, and what errors call it."""
    names = recipe_names()
    if str(source) in names:
        text = resources.files("dashseg.recipes").joinpath(f"{source}.yaml").read_text("utf-8")
        return parse_yaml(text, origin := f"recipe {source}"), origin
    path = Path(source)
    if path.suffix in (".yaml", ".yml"):
        return read_yaml(path) or {}, str(path)
    raise InputError(
        f"no recipe is called '{source}'{_nearest(str(source), names)}: the shipped ones are"
        f" {', '.join(names)}; your own is given by the path of its .yaml file"
    )


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one key, "section.key=value"."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"--set {override}: expected section.key=value")
    value = parse_yaml(text, f"--set {override}")
    *parents, last = key.strip().split(".")
    target = values
    for parent in parents:
        if not isinstance(target.get(parent), dict):
            target[parent] = {}
        target = target[parent]
    target[last] = value


def _explain(schema: type[Section], error: ValidationError) -> Iterator[str]:
    """One line per problem, with the nearest right key for a misspelt one."""
    explained: list[list[str]] = []
    for problem in error.errors():
        keys, section = _locate(schema, problem["loc"])
        if problem["type"] == "extra_forbidden":
            wrong = str(problem["loc"][-1])
            near = _nearest(wrong, section.model_fields)
            yield f"unknown key '{'.'.join([*keys, wrong])}'{near}; known here: {_keys(section)}"
            continue
        if keys in explained:  # a union reports each of its members
            continue
        if problem["type"] == "too_short" and any(k[: len(keys)] == keys for k in explained):
            continue  # none of the list's items is valid
        explained.append(keys)
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "tuple_type":
            message = "Input should be a list in brackets, such as [256, 320]"
        if problem["type"] != "value_error":
            message += f" (got {problem['input']!r})"
        yield f"{'.'.join(keys)}: {message}" if keys else message


def _locate(
    schema: type[Section], location: tuple[int | str, ...]
) -> tuple[list[str], type[Section]]:
    """The keys in the location of a problem, and the section of the last one.

    A location also has the indices of list items and the names of a union's members.
    """
    keys = []
    for part in location:
        if (field := schema.model_fields.get(str(part))) is None:
            continue
        keys.append(str(part))
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Section):
                schema = kind
    return keys, schema


def _nearest(word: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{match[0]}'?)" if match else ""


def _keys(section: type[Section]) -> str:
    return ", ".join(section.model_fields)
