"""`python -m dashseg`."""

from dashseg.cli import run

if __name__ == "__main__":
    run()
