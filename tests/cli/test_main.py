import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dashseg.cli import main
from dashseg.errors import command
from dashseg.files import make_folder

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
        (("predict", "small", "no/such/a.png", "--out", "o"), "no such file or folder"),
        (("predict", "small", "a.png", "--out", "o", "--batch", "0"), "--batch 0: expected auto"),
        (("evaluate", "a", "--data", "b", "--out", "o", "--batch", "x"), "--batch x: expected"),
        (("predict", "small", "a.png", "--out", "o", "--workers", "0"), "--workers"),
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


@pytest.mark.parametrize(
    "arguments",
    [
        ("data", "check", "LONG"),
        ("data", "synth", "loop", "--n", "1"),
        ("data", "stats", "synthetic:1000000000000"),
        ("data", "stats", "synthetic:20", "--split", "LONG"),
        ("train", "--resume", "LONG"),
        ("train", "--recipe", "demo", "--data", "LONG"),
        ("train", "--recipe", "demo", "--data", "synthetic:20", "--split", "LONG"),
        ("export", "small", "--out", "LONG"),
        ("predict", "LONG", "a.png", "--out", "o"),
        ("predict", "small", "LONG", "--out", "o"),
        ("predict", "small", "a.png", "--out", "o", "--device", "meta"),
        ("predict", "small", "a.png", "--out", "o", "--device", "hpu"),
        ("summary", "--recipe", "demo", "--size", "²x²"),
        ("summary", "--recipe", "demo", "--set", "model.encoder.weights=~nosuchuser/w.pth"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    arguments: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    Path("a.png").write_bytes(b"")
    _error(capsys, *(argument.replace("LONG", "x" * 300) for argument in arguments))


def test_an_error_is_one_bounded_line_whatever_it_quotes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("a\nerror: b", "\x1b[2J\x1b]0;t\x07\u202e", "x" * 1_000_000, "bad\udcff", "[/]"):
        error = _error(capsys, "train", "--recipe", name, "--data", "d")
        assert error.isprintable() and len(error) < 2100
        assert "no recipe is called" in error and "shipped ones are" in error


def test_an_end_of_file_is_a_defect_and_no_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise EOFError("no data")

    monkeypatch.setattr("dashseg.config.explain_recipe", fail)
    with pytest.raises(EOFError):
        main(["train", "--recipe", "demo", "--data", "d", "--print-recipe"])


def _dashseg(arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command in a shell, where `dashseg` is this one."""
    command = f'dashseg() {{ "{sys.executable}" -m dashseg "$@"; }}; {arguments}'
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, **options)


def test_a_closed_stderr_loses_no_work(tmp_path: Path) -> None:
    done = _dashseg("dashseg data synth d --n 2 --size 64x96 --workers 1 2>&-", cwd=tmp_path)
    assert done.returncode == 0 and len(list((tmp_path / "d").rglob("*.png"))) == 4
    assert "dashseg" not in "".join(done.stderr)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_disk_under_the_output_is_said_once_the_work_is_done(tmp_path: Path) -> None:
    done = _dashseg("dashseg data synth d --n 2 --size 64x96 --workers 1 >/dev/full", cwd=tmp_path)
    assert done.returncode == 2 and len(list((tmp_path / "d").rglob("*.png"))) == 4
    assert done.stderr.splitlines()[-1] == (
        "error: standard output cannot be written: No space left on device"
    )


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = _dashseg("dashseg --help | true; echo ${PIPESTATUS[0]}")
    assert done.stdout == "0\n" and done.stderr == ""


def test_a_terminal_without_unicode_gets_escapes() -> None:
    done = _dashseg("PYTHONIOENCODING=ascii dashseg tr\u00e4in; dashseg --version >&-")
    assert done.returncode == 0
    assert "'tr\\xe4in'" in done.stderr and len(done.stderr.splitlines()) == 1


def test_hints_show_what_can_be_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    program = tmp_path / ".venv" / "bin" / "dashseg"
    make_folder(program.parent)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command("train") == ".venv/bin/python -m dashseg train"
    program.touch(0o755)
    assert command("train") == ".venv/bin/dashseg train"
    monkeypatch.setenv("PATH", str(program.parent))
    assert command("train") == "dashseg train"


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_the_originals_commands_say_how_to_activate_the_environment(script: str) -> None:
    done = subprocess.run(  # -S: without installed packages
        [sys.executable, "-S", "-E", str(ROOT / script)], capture_output=True, text=True
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: No module named") and "source .venv/bin/activate" in line


@pytest.mark.parametrize("model", ["runs/gone", "weights/best.ckpt", "a/model.safetensors"])
def test_a_path_that_is_not_there_is_not_looked_up_on_the_hub(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    model: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no such model" in _error(capsys, "evaluate", model, "--data", "synthetic:10")


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("x: can't allocate memory: 9 bytes")]
)
def test_full_memory_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr("dashseg.config.explain_recipe", fail)
    arguments = ("train", "--recipe", "demo", "--data", "d", "--print-recipe")
    assert "out of memory" in _error(capsys, *arguments)
    with pytest.raises(type(error)):
        main([*arguments, "--debug"])


def test_a_torchvision_that_does_not_fit_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Lightning imports torchvision where it is installed, and lets its error through."""
    message = "operator torchvision::nms does not exist"
    (tmp_path / "lightning.py").write_text(f"raise RuntimeError({message!r})")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith(("lightning", "dashseg.train"))]:
        monkeypatch.delitem(sys.modules, name)
    error = _error(capsys, "train", "--recipe", "demo", "--data", "synthetic:10")
    assert message in error and "install torchvision from the same place as PyTorch" in error


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
