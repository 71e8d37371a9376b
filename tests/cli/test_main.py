import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dashseg.cli import main

ROOT = Path(__file__).parents[2]


def _error(capsys, *arguments) -> str:
    """The one line on stderr of a command that must fail with exit code 2."""
    assert main([str(argument) for argument in arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--recpe", "demo"), "--recipe"),
        (("trian",), "trian"),
        (("train",), "--recipe"),
        (("train", "--recipe", "demo"), "--data"),
        (("train", "--recipe", "dmo", "--data", "x"), "did you mean 'demo'"),
        (("train", "--recipe", "demo", "--set", "training.epoch=3"), "did you mean 'epochs'"),
        (("train", "--recipe", "demo", "--data", "no/such/folder"), "no such folder"),
        (("train", "--resume", "no/such/run"), "not a run"),
        (("train", "--resume", "x", "--recipe", "demo"), "--set"),
        (("evaluate", "no/such/model/x", "--data", "synthetic:10"), "no such model"),
        (("predict", "no/such/model/x", "a.png", "--out", "o"), "no such model"),
        (("summary",), "--recipe"),
        (("summary", "--recipe", "demo", "--size", "10"), "HxW"),
        (("summary", "--recipe", "demo", "--size", "16x16"), "16x16 is too small"),
        (("data", "synth", "out", "--seed", "-1"), "--seed"),
        (("data", "split", "d", "--by", "segment", "--out", "s.json", "--seed", "-1"), "--seed"),
        (("data", "synth"), "out"),
        (("evaluate", "--data", "data"), "model"),
        (("data", "synth", "x", "--n", "0"), "0 scenes"),
        (("train", "--recipe", "demo", "--data", "synthetic:x"), "synthetic:N"),
    ],
)
def test_bad_input_is_one_line_that_helps(
    capsys: pytest.CaptureFixture[str], arguments: Any, message: str
) -> None:
    assert message in _error(capsys, *arguments)


def test_debug_shows_the_traceback() -> None:
    from dashseg.errors import InputError

    with pytest.raises(InputError):
        main(["train", "--recipe", "dmo", "--debug"])


def test_help_shows_what_stands_in_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "split", "--help"]) == 0
    assert "data.parts=[imgs2]" in capsys.readouterr().out


def test_help_answers_without_the_heavy_libraries() -> None:
    code = (
        "import sys; from dashseg.cli import main; main(['--help']);"
        "heavy = {'torch', 'lightning', 'matplotlib', 'cv2', 'pydantic'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for verb in ("train", "evaluate", "predict", "summary", "data"):
        assert verb in done.stdout


def test_print_recipe_shows_it_whole_with_the_changes(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--recipe", "original", "--data", "somewhere", "--print-recipe"]
    assert main([*arguments, "--set", "loss.class_weights=enet"]) == 0
    shown = capsys.readouterr().out
    for line in ("class_weights: enet", "root: somewhere", "resize: squash", "gamma:"):
        assert line in shown


def test_summary_counts_the_original_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "--recipe", "original", "--json"]) == 0
    totals = json.loads(capsys.readouterr().out)
    # The student's network has 15,311,173; six biases of 256 before batch norm do nothing.
    assert totals["parameters"] == 15_311_173 - 6 * 256
    assert totals["size"] == [256, 256]


@pytest.mark.parametrize(("script", "verb"), [("train.py", "train"), ("evaluate.py", "evaluate")])
def test_the_originals_commands_take_the_options_of_the_verbs(script: str, verb: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / script), "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert f"dashseg {verb}" in done.stdout and "--data" in done.stdout


def test_the_originals_train_command_runs_the_original_recipe() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "--data", "x", "--print-recipe"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert "channels: bgr" in done.stdout and "resize: squash" in done.stdout


@pytest.mark.parametrize("ignored", [signal.SIG_DFL, signal.SIG_IGN])
def test_sigterm_ends_as_ctrl_c_does(tmp_path: Path, ignored: signal.Handlers) -> None:
    """Even where Ctrl-C is ignored, as shells have it for what they start by `&`."""
    command = ["data", "synth", str(tmp_path / "out"), "--n", "1000", "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dashseg", *command],
        stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, ignored),
    )  # fmt: skip
    give_up = time.monotonic() + 60
    while not list(tmp_path.glob(".out.*/new/imgs/*")) and time.monotonic() < give_up:
        time.sleep(0.01)
    process.terminate()
    assert "Traceback" not in process.communicate()[1]
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []
