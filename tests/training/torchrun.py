"""torchrun's own launcher, whose two processes are forks of this one instead of new programs.

    torchrun.py RESTARTS SCRIPT [ARGUMENT ...]

Its rendezvous, restarts and environment are torchrun's; SCRIPT is run in each process.
"""

from __future__ import annotations

import runpy
import sys

from torch.distributed.launcher.api import elastic_launch
from torch.distributed.run import config_from_args, parse_args


def work(*arguments: str) -> None:
    sys.argv = [*arguments]
    runpy.run_path(arguments[0], run_name="__main__")


restarts, script, *rest = sys.argv[1:]
place = ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", "--nproc-per-node=2"]
config = config_from_args(parse_args([*place, f"--max-restarts={restarts}", script]))[0]
config.start_method = "fork"
elastic_launch(config, work)(script, *rest)
