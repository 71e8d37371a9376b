"""`dashseg data …`."""

from __future__ import annotations

import typer

from dashseg.cli.data.augment_preview import augment_preview
from dashseg.cli.data.check import check
from dashseg.cli.data.diff import diff
from dashseg.cli.data.export import export
from dashseg.cli.data.fetch import fetch
from dashseg.cli.data.import_ import import_
from dashseg.cli.data.pack import pack
from dashseg.cli.data.select import select
from dashseg.cli.data.split import split
from dashseg.cli.data.stats import stats
from dashseg.cli.data.synth import synth

app = typer.Typer(help="Create, check and prepare data sets.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Create, check and prepare data sets."""


for verb in (fetch, export, check, stats, split, pack, select, diff, synth):
    app.command()(verb)
app.command("import")(import_)
app.command("augment-preview")(augment_preview)
