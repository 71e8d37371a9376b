"""A recipe -> YAML with a comment on each key: what it does, which values it takes, its default.

The texts, values and defaults come from the JSON schema that pydantic makes of the recipe.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from dashseg.config.schema import Recipe

Schema = dict[str, Any]  # JSON schema of a section, of a key or of an item


def explain_recipe(recipe: Recipe) -> str:
    """The recipe whole, as YAML in ASCII that `load_recipe` reads back, with comments."""
    lines: list[str] = []
    for key, section in recipe_schema()["properties"].items():
        lines += ["", *_section(key, section, recipe.model_dump(mode="json")[key], "")]
    return "\n".join(lines[1:]) + "\n"


def _section(key: str, section: Schema, values: dict[str, Any], indent: str) -> Iterator[str]:
    yield from _comment(description(section), indent)
    yield f"{indent}{key}:"
    indent += "  "
    for name, knob in section["properties"].items():
        if "properties" in knob:
            yield from _section(name, knob, values[name], indent)
        else:
            yield from _knob(name, knob, values[name], indent)


def _knob(key: str, knob: Schema, value: Any, indent: str) -> Iterator[str]:
    """A comment, which names the default if the value differs from it; then the value."""
    notes = [] if item_keys(knob) else [values_of(knob)]
    if value != knob["default"]:
        notes.append(f"default: {default_of(knob)}")
    yield from _comment(description(knob, notes), indent)
    for name, own in item_keys(knob).items():
        notes = [values_of(own), f"default: {default_of(own)}" if "default" in own else "required"]
        yield from _comment(f"{name}: {description(own, notes)}", indent, hanging="  ")
    line = {key: _short(knob, value)}
    style = None if isinstance(value, list) else False  # None: brackets for the innermost lists
    text = yaml.safe_dump(line, default_flow_style=style, width=float("inf"), sort_keys=False)
    yield textwrap.indent(text, indent).rstrip("\n")


def _comment(text: str, indent: str, hanging: str = "") -> list[str]:
    """Lines of at most 100 columns, the first with `hanging` before the text, the rest with two."""
    first, rest = f"{indent}# {hanging}", f"{indent}# {hanging * 2}"
    return textwrap.wrap(
        text, 100, initial_indent=first, subsequent_indent=rest,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def recipe_schema() -> Schema:
    """The JSON schema of a recipe, each section in the place of the reference to it."""
    schema = Recipe.model_json_schema()
    sections = schema.pop("$defs")

    def resolved(node: Any) -> Any:
        if isinstance(node, list):
            return [resolved(part) for part in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return resolved(sections[node["$ref"].rpartition("/")[2]])
        return {key: resolved(part) for key, part in node.items()}

    return resolved(schema)


def description(schema: Schema, notes: Iterable[str] = ()) -> str:
    """What a section or a key says of itself, on one line, with notes in parentheses."""
    noted = f" ({'; '.join(notes)})" if notes else ""
    return " ".join(schema["description"].split()) + noted


def item_keys(knob: Schema) -> dict[str, Schema]:
    """The keys that each item of a list has; none if the items are plain values."""
    return knob.get("items", {}).get("properties", {})


def default_of(knob: Schema) -> str:
    """The default of a key in YAML, on one line."""
    value = [_short(knob, knob["default"])]
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), sort_keys=False)
    return text.strip()[1:-1]


def _short(knob: Schema, value: Any) -> Any:
    """The value; if it is a list of items with keys, each without the keys at their defaults."""
    if not (keys := item_keys(knob)):
        return value
    return [
        {k: v for k, v in item.items() if "default" not in keys[k] or v != keys[k]["default"]}
        for item in value
    ]


def values_of(knob: Schema) -> str:
    """The values that a key takes, in words: "integer >= 1, or null"."""
    if "anyOf" in knob:
        first, second = knob["anyOf"]
        if "enum" in first and second["type"] == "null":
            return _listed([*first["enum"], "null"])
        return f"{values_of(first)}, or {values_of(second)}"
    if "enum" in knob:
        return _listed(knob["enum"])
    if knob["type"] == "array":
        count = f"{knob['minItems']} " if "prefixItems" in knob else ""
        item = values_of(knob["items"] if "items" in knob else knob["prefixItems"][0])
        items = item.replace("integer", "integers").replace("number", "numbers")
        return f"list of {count}{items}"
    if isinstance(values := knob.get("additionalProperties"), dict):
        return f"text: {values_of(values)}"
    kind = str(knob.get("format", knob["type"]))
    return _KINDS.get(kind, kind) + _bounds(knob)


_KINDS = {"boolean": "true or false", "string": "text"}  # other kinds have JSON schema's name


def _bounds(knob: Schema) -> str:
    if "minimum" in knob and "maximum" in knob:
        return f" from {knob['minimum']} to {knob['maximum']}"
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {knob[key]}" for key, sign in signs.items() if key in knob]
    return f" {' and '.join(bounds)}" if bounds else ""


def _listed(choices: Iterable[Any]) -> str:
    *first, last = map(str, choices)
    return f"{', '.join(first)} or {last}"
