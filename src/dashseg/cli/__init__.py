"""The command line: parses arguments, prints, and turns errors into exit codes.

0 done; 1 ran, and found problems it was asked to look for; 2 bad input or usage; 130 stopped by
Ctrl-C or SIGTERM. No logic lives here.
"""

from dashseg.cli.main import main, run

__all__ = ["main", "run"]
