"""`dashseg data split`: a file that train and evaluate take, and what it tells of any split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashseg.cli import main

NAMES = [
    f"{10 * device + frame:04}_{device:016x}_2018-07-01--10-11-12_{frame // 5}_{frame}"
    for device in range(5)
    for frame in range(10)
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSEG_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path, write_comma10k: Callable[..., Any]) -> Path:
    write_comma10k(tmp_path / "data", NAMES)
    return tmp_path / "data"


def run(*arguments: object) -> int:
    return main(["data", "split", *map(str, arguments), "--workers", "1"])


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert values["schema"] == 1
    return values


def test_a_split_by_device_shares_none(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "split.json"
    assert run(root, "--by", "device", "--out", out, "--val", 0.2, "--seed", 3, "--json") == 0
    values = told(capsys)
    assert (values["train"], values["val"]) == (40, 10)
    assert values["shared_with_training"] == {"segment": 0, "route": 0, "device": 0}
    written = json.loads(out.read_text())
    assert sorted(written["train"] + written["val"]) == sorted(NAMES)
    assert len({name.split("_")[1] for name in written["val"]}) == 1
    assert (written["by"], written["val_share"], written["seed"]) == ("device", 0.2, 3)


def test_by_name_is_commas_rule_and_its_leak_is_told(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "split.json"
    assert run(root, "--by", "name", "--out", out) == 0
    text = capsys.readouterr().out
    assert "45 for training, 5 for validation (10.0 %)" in text
    for level in ("segment", "route", "device"):
        line = next(line for line in text.splitlines() if line.startswith(f"  a {level}:"))
        assert line.split()[2:] == ["5", "(100.0", "%)"]
    assert json.loads(out.read_text())["val"] == [name for name in NAMES if name.endswith("9")]


def test_the_own_rule_and_any_file_are_told_of_and_labels_are_counted_once(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, "--json") == 0
    own = told(capsys)
    assert (own["split"], own["val"]) == ("own rule", 5)
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"train": NAMES[:4], "val": NAMES[5:7]}))
    assert run(root, "--split", file, "--json") == 0
    shown = capsys.readouterr()
    values = json.loads(shown.out)
    assert (values["train"], values["val"], values["left_out"]) == (4, 2, 44)
    assert values["shared_with_training"] == {"segment": 0, "route": 2, "device": 2}
    assert "no frame has changed" in shown.err and "counting" not in shown.err


def test_names_that_do_not_tell_are_counted_and_split(
    tmp_path: Path, write_folder: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    palette = 'classes: {a: "#000000", b: "#ffffff"}\n'
    write_folder(tmp_path / "mine", [f"x{i}" for i in range(20)], palette, ["#000000", "#ffffff"])
    out = tmp_path / "split.json"
    assert run(tmp_path / "mine", "--by", "route", "--out", out, "--json") == 0
    values = told(capsys)
    assert values["val"] == 2 and values["unparsed"]["val"] == 2
    assert values["unparsed"]["train"] == 18 and len(values["unparsed"]["examples"]) == 5


def test_evaluate_and_its_metrics_name_the_file(
    root: Path, tmp_path: Path, model_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "split.json"
    assert run(root, "--by", "segment", "--out", out) == 0
    evaluate = ["evaluate", str(model_directory), "--data", str(root), "--split", str(out)]
    capsys.readouterr()
    assert main([*evaluate, "--out", str(tmp_path / "e"), "--device", "cpu", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert (data["split"], data["images"]) == (str(out), 5)
    assert json.loads((tmp_path / "e" / "metrics.json").read_text())["data"]["split"] == str(out)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--by", "colour", "--out", "{out}"], "expected name, segment, route, device"),
        (["--by", "device"], "name the file to write with --out"),
        (["--by", "device", "--out", "{root}"], "exists: choose a new name"),
        (["--by", "device", "--out", "{out}", "--val", "1"], "above 0 and below 1"),
        (["--by", "name", "--out", "{out}", "--seed", "1"], "no --val and no --seed"),
        (["--out", "{out}"], "add --by segment|route|device"),
        (["--split", "{root}/missing.json"], "cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_makes_nothing(
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    out = tmp_path / "split.json"
    assert run(root, *(word.format(root=root, out=out) for word in arguments)) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1 and says in error[0] and not out.exists()
