"""docs/recipe.md, the page of all keys: `python -m dashseg.config.reference > docs/recipe.md`."""

from __future__ import annotations

from collections.abc import Iterator

from dashseg.config.explain import (
    Schema,
    default_of,
    description,
    item_keys,
    recipe_schema,
    values_of,
)

_HEAD = """\
<!-- Made by `python -m dashseg.config.reference > docs/recipe.md` from the descriptions in
     src/dashseg/config. Edit those, then run it again. -->

# All keys of a recipe

A recipe is a YAML file with the sections below. A key that it leaves out has its default. `--set`
changes one key on the command line, and `--print-recipe` prints the whole recipe with these
explanations:

```sh
dashseg train --recipe demo --data path/to/frames --set training.epochs=10
dashseg train --recipe demo --print-recipe
```
"""


def reference() -> str:
    """The page: a table for each section, in Markdown."""
    sections = recipe_schema()["properties"].items()
    return _HEAD + "".join(f"{line}\n" for key, s in sections for line in _tables(key, s))


def _tables(path: str, section: Schema) -> Iterator[str]:
    """A section's own keys; then the sections within it."""
    keys = section["properties"]
    yield from ("", f"## {path}", "", description(section), "")
    plain = {key: knob for key, knob in keys.items() if "properties" not in knob}
    if plain:
        yield from ("| key | what it does | values | default |", "| --- | --- | --- | --- |")
    for key, knob in plain.items():
        default = f"`{default_of(knob)}`" if "default" in knob else "required"
        values = values_of(knob)
        if item_keys(knob):
            values = f"list; each item has [these keys](#{path}{key})".replace(".", "")
        yield f"| `{key}` | {description(knob)} | {values} | {default} |"
    for key, knob in keys.items():
        if "properties" in knob:
            yield from _tables(f"{path}.{key}", knob)
        elif item_keys(knob):
            yield from _tables(f"{path}.{key}", knob["items"])


if __name__ == "__main__":
    print(reference(), end="")
