"""YAML is read as plain values; what would hang, explode or be dropped is one error."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashseg.config.plain_yaml import parse_yaml, read_yaml
from dashseg.errors import InputError

LAUGHS = "a: &a [x]\n" + "".join(
    f"{after}: &{after} [{','.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "line 2: aliases"),
        ("a: &x [*x]", "aliases"),
        ("a: 1\nb: 2\na: 3", "'a' is there twice"),
        ("2020-13-45", "not valid YAML"),
        ("!!int ''", "not valid YAML"),
        ("!!float z", "not valid YAML"),
        ("!!bool maybe", "not valid YAML"),
        ("!!timestamp x", "not valid YAML"),
        ("!!python/object/apply:os.system [ls]", "not valid YAML"),
        ("9" * 5000, "not valid YAML"),
        ("[" * 3000, "not valid YAML"),
        ("[" * 3000 + "]" * 3000, "not valid YAML"),
        ("{[1]: 2}", "not valid YAML"),
        ("a: 1\n--- \nb: 2", "not valid YAML"),
        ("a\x00b", "not valid YAML"),
    ],
)
def test_what_is_no_plain_yaml_is_one_error(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        parse_yaml(text, "FILE")
    assert str(error.value).startswith("FILE: ")
    assert "\n" not in str(error.value)


def test_names_can_be_read_as_they_are_written() -> None:
    text = "{on: [no, 1e3], 2020-01-01: 010, 2020-13-45: ~}"
    written = {"on": ["no", "1e3"], "2020-01-01": "010", "2020-13-45": "~"}
    assert parse_yaml(text, "FILE", as_text=True) == written
    assert parse_yaml("", "FILE", as_text=True) is None


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1\n" * (1 << 18))
    with pytest.raises(InputError, match=r"a\.yaml: \d+ bytes; at most"):
        read_yaml(tmp_path / "a.yaml")
