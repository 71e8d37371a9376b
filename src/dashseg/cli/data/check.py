"""`dashseg data check`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashseg.cli import options
from dashseg.errors import one_line
from dashseg.progress import progress

if TYPE_CHECKING:
    from dashseg.curate.check import Repairs, Report

_NAMES = 3  # file names in a row of the table
_DETAILS = 10  # problems shown of each code; --json has all


def check(
    root: Annotated[str, typer.Argument(metavar="DIR", help="The data set's folder.")],
    fix: Annotated[
        Path | None,
        typer.Option("--fix", metavar="OUT", help="Write a repaired copy to this new folder."),
    ] = None,
    dataset: options.Dataset = None,
    parts: Annotated[
        str | None,
        typer.Option("--parts", help="comma10k: imgs,imgs2,imgsd. Default: those that exist."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="CODE", help="Do not report this code. Repeatable."),
    ] = None,
    workers: options.Workers = None,
    cluster: options.Cluster = None,
    as_json: options.Json = False,
) -> None:
    """Find problems in images and masks. Exit code 1 if there are any."""
    from dashseg.curate.check import check as check_folder
    from dashseg.curate.check import refuse_taken, repair

    spread = options.parse_cluster(cluster, root)
    if fix is not None:
        refuse_taken(fix, Path(root))
    with progress("checking", "frames") as advance:
        chosen = options.parse_parts(parts)
        report = check_folder(root, dataset, chosen, workers, advance, tuple(ignore or ()), spread)
    repairs = None
    if fix is not None:
        if not as_json:
            _print_report(report)
        with progress("writing the copy and checking it", "files") as advance:
            # The copy is written here.
            repairs = repair(report, fix, None if cluster else workers, advance)
    if as_json:
        values: dict[str, Any] = report.to_json()
        if repairs:
            values["repairs"] = repairs.to_json()
        print(json.dumps(values, indent=1))
    elif repairs:
        _print_repairs(repairs)
    else:
        _print_report(report)
    if report.problems:
        raise typer.Exit(1)


def _print_report(report: Report) -> None:
    from dashseg.curate.check import CODES

    print(f"{report.root}: {report.pairs} pairs ({report.kind})")
    if opaque := report.opaque_alpha():
        print(f"{opaque} files have an alpha channel that is opaque everywhere: harmless")
    if not report.problems:
        print("nothing wrong was found")
        return
    by_code = {
        code: [problem for problem in report.problems if problem.code == code] for code in CODES
    }
    print(f"\n{'code':18} {'count':>6}  {'':7}  files")
    for code, problems in by_code.items():
        if problems:
            files = _first([p.file for p in problems], _NAMES)
            print(f"{code:18} {len(problems):6}  {problems[0].severity:7}  {files}")
    for code, problems in by_code.items():
        if problems:
            print(f"\n{code}: {CODES[code]}")
            for problem in problems[:_DETAILS]:
                print(one_line(f"  {problem.file}: {problem.detail}"))
            _print_rest(len(problems) - _DETAILS)


def _print_repairs(repairs: Repairs) -> None:
    print(
        f"\n{repairs.out}: {repairs.frames} frames; {len(repairs.repaired)} repairs,"
        f" {len(repairs.left_out)} frames or files left out; all are in repairs.json"
    )
    for item in repairs.repaired[:_DETAILS]:
        print(f"  {item['file']}: {item['code']}: {item['done']}")
    _print_rest(len(repairs.repaired) - _DETAILS)
    if repairs.left_out:
        print("\nleft out:")
        for item in repairs.left_out[:_DETAILS]:
            print(f"  {', '.join(item['files'])}: {', '.join(item['codes'])}")
        _print_rest(len(repairs.left_out) - _DETAILS)


def _print_rest(count: int) -> None:
    if count > 0:
        print(f"  and {count} more (--json lists all)")


def _first(names: Sequence[str], count: int) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
