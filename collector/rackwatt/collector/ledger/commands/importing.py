# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger import`."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from rackwatt.collector.helptext import more
from rackwatt.collector.ledger.commands.app import ledger_app
from rackwatt.wire.config import ConfigErrors

_STDOUT = "-"
_HELP = """Book a site's history, or a what-if, from a CSV file.

Needs no store and no running collector. Each row is one interval of any length and gives one
row of the ledger: the data center's load by origin with the battery traced back, shares,
carbon, the battery's stock, the residual. The functions are those of the live ledger.

\b
FLOWS.csv, energies in Wh, an empty cell for what is unknown (never 0):
  time               start of the interval, 2026-10-01T00:00:00+01:00; the offset may change
  interval_seconds   how long it is
  pv wind grid_import genset battery_discharge        what fed the site
  battery_charge grid_export load_it load_cooling load_other        where it went
and if you have them:
  hydro              own hydro power
  load_campus        consumers that are no data center
  ppa_pv ppa_wind ppa_hydro    what contracts claim of the import, metered at the plant

Rows follow each other in UTC. A gap keeps the battery as it is, and is named. A factor that
the site file does not give is a shipped default, which is named; where there is none, the
figures that need it stay empty. The summary goes to stderr.
"""


@ledger_app.command(
    "import",
    help=_HELP,
    epilog=more(
        "rackwatt ledger import docs/examples/import-flows.csv \\\n"
        "      --site docs/examples/import-site.yaml --out ledger.csv",
        "rackwatt ledger import year.csv --site site.yaml --out - | gzip > year-ledger.csv.gz",
        "rackwatt ledger import what-if.csv --site site.yaml --out what-if-ledger.csv --json",
        done="the ledger is written",
        failed="the ledger cannot be written, or its books do not close",
        wrong="a file is not as it should be: each error names file, line and column",
    ),
)
def import_command(
    flows: Annotated[
        Path,
        typer.Argument(metavar="FLOWS.csv", help="Energies per interval.", show_default=False),
    ],
    site: Annotated[
        Path, typer.Option("--site", metavar="FILE", help="The site file: factors and battery.")
    ],
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="Where the ledger goes; - for stdout.")
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON on stdout.")
    ] = False,
) -> None:
    """Book a site's history, or a what-if, from a CSV file of energies."""
    from rackwatt.collector.ledger.importing.complaints import FlowsError
    from rackwatt.collector.ledger.importing.run import import_flows
    from rackwatt.collector.site import load_site

    _check_target(out, [flows, site], as_json=as_json)
    try:
        loaded = load_site(site)
        with _progress(flows) as advance:
            summary = import_flows(flows, loaded, out, advance)
    except (ConfigErrors, FlowsError) as errors:
        typer.echo(str(errors), err=True)
        raise typer.Exit(2) from errors
    except OSError as error:
        reading = error.filename is not None and Path(error.filename) == flows
        place = "stdout" if out == _STDOUT else out
        what = f"{flows}: cannot be read" if reading else f"{place}: cannot be written"
        _fail(f"{what}: {error.strerror or error}", 2 if reading else 1)
    typer.echo(summary.as_text(), err=True)
    if as_json:
        typer.echo(json.dumps(summary.as_json(), indent=2, ensure_ascii=False, allow_nan=False))
    if not summary.closed:
        raise typer.Exit(1)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"rackwatt: {message}", err=True)
    raise typer.Exit(code)


def _check_target(out: str, inputs: list[Path], *, as_json: bool) -> None:
    """Refuse a place that cannot be right, before any work."""
    if out == _STDOUT:
        if as_json:
            _fail("--json and --out - would both write to stdout: give --out a file", 2)
        return
    target = Path(out)
    if target.is_dir():
        _fail(f"--out: {out} is a folder: name a file in it", 2)
    if not target.parent.is_dir():
        _fail(f"--out: there is no folder {target.parent}: make it first", 2)
    for path in inputs:
        if target.exists() and path.exists() and target.samefile(path):
            _fail(f"--out: {out} is also read: write the ledger to another file", 2)


@contextlib.contextmanager
def _progress(flows: Path) -> Iterator[Callable[[int], None] | None]:
    """Show how much has been read, where someone is watching."""
    if not sys.stderr.isatty() or not flows.is_file():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    shown = Progress(*columns, console=Console(stderr=True), transient=True)
    task = shown.add_task("", total=flows.stat().st_size)

    def advance(done: int) -> None:
        shown.start()  # its thread begins only now, after the import has forked
        shown.update(task, completed=done)

    try:
        yield advance
    finally:
        shown.stop()
