"""Runs Python programs, each in a fork of this process, which has imported what takes seconds.

    prefork.py SOCKET

Listens on a Unix socket until its standard input ends. A fork of it serves each process that
connects: it reads a JSON object a line: `arguments` as those of `python`; `folder` and
`environment`; `stdout` and `stderr` (files); `disk` (where to mount a disk for this program alone,
or null) and `mount` (its options); `forking` (whether the Python programs that it starts are forks,
too). It answers with two lines: the process id of the fork that runs the program, and, at its end,
its exit status.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import traceback
import types
from typing import Any

signal.signal(signal.SIGINT, signal.SIG_IGN)  # until a program runs: the tests' end ends this
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1] + ".new")
server.listen()
os.rename(sys.argv[1] + ".new", sys.argv[1])  # now clients may connect, and wait
if sys.stdin in select.select([server, sys.stdin], [], [])[0]:
    sys.exit()  # nobody came
for module in ("dashseg.cli.train", "dashseg.training.run"):
    importlib.import_module(module)
gc.freeze()  # as conftest.py does: a fork's collections need neither go through it nor copy it

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000


def wait_for_client() -> socket.socket:
    """In a fork: the connection to the client that it serves."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for these forks
    while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
        client, _ = server.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            server.close()
            os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
            return client
        client.close()
    sys.exit()


def wait_for_program(client: socket.socket) -> dict[str, Any]:
    """In a fork of that: the program that it should run."""
    with client, client.makefile("rw") as lines:
        for line in lines:
            child = os.fork()
            if child == 0:
                os.setpgid(0, 0)  # what it starts can be killed with it
                return json.loads(line)
            print(child, file=lines, flush=True)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=lines, flush=True)
    sys.exit()


def mount_disk(folder: str, options: str) -> None:
    """Mount an empty disk that this process alone sees."""
    users = {"uid_map": f"0 {os.getuid()} 1", "setgroups": "deny", "gid_map": f"0 {os.getgid()} 1"}
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS | CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "no namespaces")
    for name, text in users.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)


def replace_environment(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


def run(arguments: list[str]) -> None:
    first, *rest = arguments
    if first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        source, *rest = rest
        sys.argv = ["-c", *rest]
        sys.modules["__main__"] = main = types.ModuleType("__main__")
        exec(compile(source, "<string>", "exec"), main.__dict__)
    else:
        sys.argv, sys.path[0] = arguments, os.path.dirname(first)
        runpy.run_path(first, run_name="__main__")


class Fork(subprocess.Popen[Any]):
    """As Popen, but a Python program is a fork of this one instead of a new interpreter.

    For programs without threads.
    """

    def __init__(self, command: Any, *rest: Any, **options: Any) -> None:
        if command[0] == sys.executable and (command[1] in ("-c", "-m") or command[1][0] != "-"):
            environment = options.get("env") or dict(os.environ)

            def instead() -> None:
                os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # as at an exec, which __init__ awaits
                replace_environment(environment)
                status = 1
                try:
                    run(command[1:])
                    status = 0
                except SystemExit as error:
                    if isinstance(error.code, str):
                        print(error.code, file=sys.stderr)
                    status = error.code if isinstance(error.code, int) else int(bool(error.code))
                except BaseException:
                    traceback.print_exc()
                sys.stdout.flush()
                os._exit(status)  # without the clean-up that is the parent's

            options["preexec_fn"] = instead
        super().__init__(command, *rest, **options)


program = wait_for_program(wait_for_client())
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell runs with &
replace_environment(program["environment"])
os.chdir(program["folder"])
for place, name in ((1, "stdout"), (2, "stderr")):
    file = os.open(program[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, place)
    os.close(file)
if program["disk"]:
    mount_disk(program["disk"], program["mount"])
if program["forking"]:
    vars(subprocess)["Popen"] = Fork
run(program["arguments"])
