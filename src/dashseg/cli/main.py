"""`dashseg`: the verbs, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import Any

import typer

from dashseg import __version__
from dashseg.cli.bench import bench
from dashseg.cli.data import app as data_app
from dashseg.cli.evaluate import evaluate
from dashseg.cli.export import export
from dashseg.cli.predict import predict
from dashseg.cli.push import push
from dashseg.cli.review import review
from dashseg.cli.review_apply import review_apply
from dashseg.cli.serve import serve
from dashseg.cli.streams import make_patient, what_failed
from dashseg.cli.summary import summary
from dashseg.cli.train import train
from dashseg.errors import InputError, one_line
from dashseg.stopping import stop_on_signals
from dashseg.timm_library import misfit

# Typer bundles Click or uses the installed one, depending on its version. This is the base class of
# the usage errors of both.
_UsageError: Any = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)

_NO_MEMORY = "can't allocate memory"  # what PyTorch says on a CPU

app = typer.Typer(
    name="dashseg",
    help="Semantic segmentation of what a dash camera sees.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data")
for verb in (train, evaluate, predict, summary, review, serve, export, bench, push):
    app.command()(verb)
app.command("review apply")(review_apply)


@app.callback(invoke_without_command=True)
def version(
    show: bool = typer.Option(False, "--version", help="Print the version and exit."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Semantic segmentation of what a dash camera sees."""
    if show:
        print(f"dashseg {__version__}")
        raise typer.Exit


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    Args:
        argv: arguments after the program's name; None: the process's own.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if arguments[:2] == ["review", "apply"]:  # `review MODEL` takes an argument, so it is no group
        arguments[:2] = ["review apply"]
    try:
        return app(arguments, prog_name="dashseg", standalone_mode=False) or 0
    except InputError as error:
        if debug:
            raise
        return _fail(error)
    except _UsageError as error:
        if arguments in ([], ["data"]):  # asked for nothing: the help was shown
            print(error.format_message())
            return 2
        return _fail(error.format_message())
    except (KeyboardInterrupt, typer.Abort) as stop:
        if isinstance(stop.__cause__, EOFError):  # Typer takes it for Ctrl-D
            raise stop.__cause__ from None
        print("stopped", file=sys.stderr)
        return 130
    except (OSError, RuntimeError, MemoryError) as error:
        if debug:
            raise
        if isinstance(error, MemoryError) or _NO_MEMORY in str(error):
            return _fail("out of memory: use smaller frames, a smaller batch or fewer --workers")
        if "operator torchvision::" in str(error):  # Lightning imports it, if it is installed
            return _fail(misfit(error))
        # A path that the system refuses, whichever verb comes upon it. RuntimeError: Python 3.12.
        refused = getattr(error, "errno", None) in (errno.ENAMETOOLONG, errno.ELOOP)
        if refused or str(error).startswith("Symlink loop"):
            return _fail(error)
        raise


def run(argv: Sequence[str] | None = None) -> None:
    """The console script: `main`, whose work is done even if its output cannot be written.

    SIGTERM ends it as Ctrl-C does.
    """
    stop_on_signals()
    make_patient()
    code = main(argv)
    if reason := what_failed():
        code = code or _fail(f"standard output cannot be written: {reason}")
    sys.exit(code)


def _fail(message: object) -> int:
    print(f"error: {one_line(message)}", file=sys.stderr)
    return 2
