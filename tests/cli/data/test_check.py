"""`dashseg data check`: exit codes, a table for people, JSON for programs, a copy with --fix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from dashseg.cli.main import main

NAMES = [f"frame_{i}" for i in range(15)]


@pytest.fixture
def sound(tmp_path: Path, write_comma10k: Callable[..., object]) -> Path:
    write_comma10k(tmp_path / "data", NAMES)
    return tmp_path / "data"


@pytest.fixture
def broken(sound: Path) -> Path:
    for name in NAMES[:12]:
        mask = sound / "masks" / f"{name}.png"
        with PIL.Image.open(mask) as file:
            file.quantize(8, dither=PIL.Image.Dither.NONE).save(mask)
    (sound / "masks" / f"{NAMES[14]}.png").unlink()
    return sound


def run(*arguments: object) -> int:
    return main(["data", "check", *map(str, arguments), "--workers", "1"])


def test_a_sound_folder_exits_0(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(sound) == 0
    out = capsys.readouterr().out
    assert "15 pairs (comma10k)" in out and "nothing wrong was found" in out


def test_problems_exit_1_with_a_row_per_code_and_the_first_details(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(broken) == 1
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("palette-png "))
    assert row.split()[1] == "12" and row.endswith(f"masks/{NAMES[10]}.png and 9 more")
    assert "  and 2 more (--json lists all)" in lines
    assert f"  imgs/{NAMES[14]}.png: no mask of {NAMES[14]}" in lines


def test_json_lists_everything(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(broken, "--json") == 1
    values = json.loads(capsys.readouterr().out)
    assert (values["schema"], values["root"], values["pairs"]) == (1, str(broken), 14)
    assert values["counts"] == {"missing-mask": 1, "palette-png": 12}
    assert len(values["problems"]) == 13
    assert all({"code", "file", "detail"} <= problem.keys() for problem in values["problems"])


def test_fix_writes_a_copy_that_checks_clean(
    broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(broken, "--fix", out) == 1
    shown = capsys.readouterr().out
    assert "14 frames; 12 repairs, 1 frames or files left out" in shown
    assert f"imgs/{NAMES[14]}.png: missing-mask" in shown
    assert run(out) == 0


def test_fix_and_json_are_one_document(
    broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(broken, "--json", "--fix", tmp_path / "out") == 1
    values = json.loads(capsys.readouterr().out)
    assert values["repairs"]["frames"] == 14
    assert [item["codes"] for item in values["repairs"]["left_out"]] == [["missing-mask"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{root}/nowhere"], "no such folder"),
        (["{root}", "--parts", "imgs,imgs3"], "'imgs3' is none of imgs, imgs2, imgsd"),
        (["{root}", "--dataset", "kitti"], "--dataset kitti: expected comma10k"),
        (["{root}", "--fix", "{root}"], "exists: choose a new name"),
        (["{root}", "--fix", "{root}/out"], "is inside"),
    ],
)
def test_what_cannot_run_exits_2_with_one_line(
    sound: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*(argument.format(root=sound) for argument in arguments)) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and message in error and "\n" not in error


def test_ignored_codes_are_no_problem_and_unknown_ones_an_error(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(broken, "--ignore", "palette-png", "--json") == 1
    values = json.loads(capsys.readouterr().out)
    assert (values["counts"], values["ignored"]) == ({"missing-mask": 1}, ["palette-png"])
    assert run(broken, "--ignore", "palette-png", "--ignore", "missing-mask") == 0
    assert run(broken, "--ignore", "palette") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: --ignore palette: no such code; there are missing-mask,")


def test_fix_leaves_ignored_codes_as_they_are(broken: Path, tmp_path: Path) -> None:
    assert run(broken, "--ignore", "palette-png", "--fix", tmp_path / "out") == 1
    copied = tmp_path / "out" / "masks" / f"{NAMES[0]}.png"
    assert copied.read_bytes() == (broken / "masks" / copied.name).read_bytes()
