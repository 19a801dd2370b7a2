# SPDX-License-Identifier: Apache-2.0
"""`rackwatt twin simulate`: weeks of a site, booked and stored in minutes."""

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rackwatt.collector.helptext import more
from rackwatt.collector.roles.arguments import UsageProblem, http_url
from rackwatt.collector.roles.options import (
    InfluxBucket,
    InfluxOrg,
    InfluxRollups,
    InfluxTokenFile,
    InfluxUrl,
)
from rackwatt.collector.store.open import (
    DEFAULT_ORG,
    RAW_BUCKET,
    ROLLUPS_BUCKET,
    InfluxSpec,
    TokenError,
    read_token,
)
from rackwatt.wire.config import ConfigErrors

if TYPE_CHECKING:
    from rackwatt.twin.simulate import Outcome, Plan, Wish

EPILOG = more(
    "rackwatt twin simulate --from 2026-10-01 --days 31 --data month",
    "rackwatt twin simulate --from 2026-10-01 --days 7 --data week --truth truth.csv",
    "rackwatt twin simulate --site SITE.yaml --from 2026-02-15 --days 2 --data try --rollups-only",
    failed="stopped, or a process could not go on: the folder cannot be continued",
    wrong="wrong input or usage, or the folder holds books already",
)
_MEGA = 1e6
_NO_PLACE = (FileNotFoundError, NotADirectoryError, PermissionError)
"""The folder that was named cannot be one: bad input, nothing was begun."""


def simulate_command(
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="DATE",
            help="The first day, like 2026-10-01; days begin at the site's midnight.",
            show_default=False,
        ),
    ],
    days: Annotated[int, typer.Option("--days", metavar="N", help="How many local days.")] = 31,
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Gets ledger.db, site.yaml and, without --influx, the store.",
        ),
    ] = Path("simulated"),
    site: Annotated[
        Path | None,
        typer.Option("--site", metavar="FILE", help="Your site file; default: the default site."),
    ] = None,
    influx: InfluxUrl = None,
    influx_org: InfluxOrg = DEFAULT_ORG,
    influx_bucket: InfluxBucket = RAW_BUCKET,
    influx_rollups_bucket: InfluxRollups = ROLLUPS_BUCKET,
    influx_token_file: InfluxTokenFile = None,
    rollups_only: Annotated[
        bool, typer.Option("--rollups-only", help="Leave the readings of the last 48 h out.")
    ] = False,
    truth: Annotated[
        Path | None,
        typer.Option(
            "--truth",
            metavar="FILE",
            help="Write what is true, minute by minute, as .csv or .jsonl.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", min=0, help="Other weather, jobs and meters."),
    ] = None,
) -> None:
    """Fill a store and a ledger with weeks of a simulated site.

    For reports, dashboards and tests, and through the real accounting. The same arguments give
    the same ledger, hash for hash.
    Meters are read once a minute, each with a small error of its own within its class. Rollups by
    minute and hour and the ledger's copy are kept whole; readings for the last 48 h, one a minute.
    """
    from rackwatt.twin.simulate import Wish

    with _plain_errors():
        spec = None
        if influx is not None:
            read_token(influx_token_file)
            spec = InfluxSpec(
                http_url("--influx", influx),
                influx_org,
                influx_bucket,
                influx_rollups_bucket,
                influx_token_file,
            )
        _simulate(Wish(data, start, days, site, spec, rollups_only, truth, seed))


@contextmanager
def _plain_errors() -> Iterator[None]:
    """What goes wrong becomes a plain line or a few, and an exit code."""
    from rackwatt.twin.simulate import SimulationFailed, SimulationProblem

    try:
        yield
    except ConfigErrors as errors:
        typer.echo(str(errors), err=True)
        code = 2
    except (SimulationProblem, UsageProblem, TokenError) as error:
        typer.echo(f"rackwatt: {error}", err=True)
        code = 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"rackwatt: {where}{error.strerror or error}", err=True)
        code = 2 if isinstance(error, _NO_PLACE) else 1
    except (SimulationFailed, sqlite3.Error) as error:
        typer.echo(f"rackwatt: {error}", err=True)
        code = 1
    else:
        return
    raise typer.Exit(code)


def _simulate(wish: "Wish") -> None:
    from rackwatt.twin.simulate import SimulationFailed, carry_out, plan

    began = time.monotonic()
    made = plan(wish)
    for note in made.notes:
        typer.echo(f"note: {note}", err=True)
    try:
        with _progress(made) as tell:
            outcome = carry_out(wish, made, tell)
    except KeyboardInterrupt:
        typer.echo(f"rackwatt: stopped; {_useless(wish.data)}", err=True)
        raise typer.Exit(1) from None
    except SimulationFailed as error:
        raise SimulationFailed(f"{error}; {_useless(wish.data)}") from error
    _report(wish, made, outcome, time.monotonic() - began)


def _useless(folder: Path) -> str:
    return f"{folder} is not complete and cannot be continued: remove it with 'rm -r {folder}'"


class _Progress:
    """Shows how far the books are closed."""

    def __init__(self, made: "Plan") -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._span = made.span
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=made.span.minutes)
        self._plain = not sys.stderr.isatty()
        self._said = -1

    def __call__(self, who: str, time_ms: int) -> None:
        """Someone has got so far."""
        if who != "books":
            return
        done = (time_ms - self._span.start_ms) // 60_000
        day = datetime.fromtimestamp((time_ms - 1) / 1000, UTC).astimezone(self._span.zone)
        text = f"booked {day:%Y-%m-%d}" if done else "the books are open"
        if done == self._span.minutes:
            text = "copying the ledger"
        tenth = done * 10 // self._span.minutes
        if self._plain and tenth > self._said:
            self._said = tenth
            typer.echo(f"{text} ({tenth * 10} %)", err=True)
        self._bar.update(self._task, completed=done, description=text)

    def start(self) -> None:
        """Begin to show it."""
        if not self._plain:
            self._bar.start()

    def stop(self) -> None:
        """Show it no more."""
        if not self._plain:
            self._bar.stop()


@contextmanager
def _progress(made: "Plan") -> Iterator[_Progress]:
    shown = _Progress(made)
    shown.start()
    try:
        yield shown
    finally:
        shown.stop()


def _report(wish: "Wish", made: "Plan", outcome: "Outcome", seconds: float) -> None:
    from datetime import timedelta

    from rackwatt.twin.simulate.summary import report, size_of

    span, data = made.span, wish.data
    last = span.first + timedelta(days=span.days - 1)
    head = str(outcome.facts["books"]["head"])
    store = outcome.facts["store"]
    rows, points = int(store["rows"] or 0), int(outcome.facts["copies"]["points"] or 0)
    minutes = outcome.figures.intervals
    size = f"{size_of(data) / _MEGA:,.0f} MB"
    where = f"{data / 'store'}, {data / 'books'}" if wish.influx is None else wish.influx.url
    lines = [
        ("simulated", f"{span.first} to {last} ({span.zone.key}), in {seconds:.0f} s"),
        ("site file", f"{made.site_file}"),
        (
            "ledger",
            f"{data / 'ledger.db'}, {minutes:,} minutes, head {head[:16]}",
        ),
        ("store", f"{where}: {rows:,} rows of meters, {points:,} of the ledger ({size} in {data})"),
    ]
    if wish.truth is not None:
        lines.append(("truth", str(wish.truth)))
    if store["refused"]:
        lines.append(("refused", f"{store['refused']:,} rows by the store: {store['reason']}"))
    found = outcome.comparison
    against = (
        f"energies within {found.energies * 100:.2f} % ({found.worst}),"
        f" shares within {found.shares:.2f} points, PUE {found.pue:+.4f}"
    )
    for name, text in [*lines, *report(outcome.figures), ("truth says", against)]:
        typer.echo(f"{name:<12} {text}")
    typer.echo("\nNext:")
    typer.echo(f"  rackwatt ledger show --data {data} --from {span.first} --every 1d")
    typer.echo(f"  rackwatt ledger verify --data {data}")
    if wish.influx is None:
        typer.echo(f"  rackwatt store dump site_figures_1d --data {data}")
