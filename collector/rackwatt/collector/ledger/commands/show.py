# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger show`: what the books say of a span of time."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Annotated, Any, Final

import typer

from rackwatt.collector.accounting.calendar import Every, Span, spans
from rackwatt.collector.accounting.vocabulary import HOUR_MS
from rackwatt.collector.helptext import more
from rackwatt.collector.ledger.commands.app import ledger_app
from rackwatt.collector.ledger.commands.figures import figures, in_spans
from rackwatt.collector.ledger.commands.forms import write_csv, write_json
from rackwatt.collector.ledger.commands.levels import Level, by_member
from rackwatt.collector.ledger.commands.options import (
    DATA,
    AsCsv,
    AsJson,
    DataFolder,
    From,
    SiteFile,
    To,
    booked_span,
    find_site,
    ledger_file,
    one_form,
    reading,
)
from rackwatt.collector.ledger.commands.tables import member_table, revision_table, site_table
from rackwatt.collector.ledger.commands.times import QUARTER_MS, every_of, span_of, utc
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.ledger.reading import LedgerReader
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.collector.site import Site
from rackwatt.collector.site.console import console, stop
from rackwatt.collector.site.problems import near

_DAY_MS: Final = 24 * HOUR_MS
_HEAD: Final = ("start", "end", "label")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be shown."""

    low: int
    high: int
    every: Every
    zone: tzinfo
    level: Level
    site: Site | None

    def spans(self) -> Iterator[Span]:
        return spans(self.low, self.high, self.every, self.zone)


@ledger_app.command(
    "show",
    epilog=more(
        "rackwatt ledger show",
        "rackwatt ledger show --data data --from 2026-10-01 --to 2026-11-01 --every 1d",
        "rackwatt ledger show --from 2026-10-01 --to 2026-10-02 --by tenant --every 1d --json",
        "rackwatt ledger show --from 2026-10-01T06:00+01:00 --to 2026-10-01T07:00+01:00 \\\n"
        "      --every 1m --revisions --csv",
        failed="the ledger cannot be read",
    ),
)
def show_command(
    start: From = None,
    end: To = None,
    every: Annotated[
        str, typer.Option("--every", metavar="SPAN", help="1m, 15m, 1h, 1d or 1mo.")
    ] = "1h",
    by: Annotated[
        str,
        typer.Option("--by", metavar="LEVEL", help="site, hall, rack, node, gpu or tenant."),
    ] = Level.SITE.value,
    revisions: Annotated[
        bool, typer.Option("--revisions", help="Every revision of every minute, and its cause.")
    ] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """Show energy, origins, carbon and key figures as they are booked.

    Without --from and --to it is the last day. Minutes and hours are UTC, days and months the
    site's. The table has units; JSON and CSV have Wh, g and ratios 0..1 in full precision under
    the ledger's own names. What is unknown is said to be so (null, an empty cell), and is never
    0. Reads only: the accountant may run.
    """
    one_form(as_json=as_json, as_csv=as_csv)
    span, level = every_of(every), _level(by)
    if level is not Level.SITE and span == "1m":
        stop("--every: attribution is kept by quarter hours; with --by use 15m or longer")
    if revisions and level is not Level.SITE:
        stop("--revisions shows the site's minutes; leave --by out")
    path = ledger_file(data)
    known = find_site(site, data)
    zone: tzinfo = UTC if known is None else known.timezone
    if known is None and not (as_json or as_csv):
        console(err=True).print("no --site: dates, days and months are UTC", style="dim")
    with reading(path) as reader:
        booked = booked_span(reader)
        low, high = span_of(start, end, zone, _last_day(booked))
        asked = _Asked(low, high, span, zone, level, known)
        if level is not Level.SITE and (low % QUARTER_MS or high % QUARTER_MS):
            stop("--from and --to: attribution is kept by quarter hours: begin and end on one")
        lines = list(_revisions(reader, asked) if revisions else _lines(reader, asked))
    _write(lines, asked, booked, revisions=revisions, form="json" if as_json else "csv" * as_csv)


def _level(text: str) -> Level:
    try:
        return Level(text)
    except ValueError:
        stop(f"--by: no level {text!r} ({near(text, list(Level))})")


def _last_day(booked: tuple[int, int] | None) -> tuple[int, int]:
    """The day that ends with the last closed interval, from a full hour on."""
    if booked is None:
        return 0, 0
    low = max(booked[0], booked[1] - _DAY_MS) // HOUR_MS * HOUR_MS
    return low, -(-booked[1] // QUARTER_MS) * QUARTER_MS


def _lines(reader: LedgerReader, asked: _Asked) -> Iterator[dict[str, Any]]:
    """One line for each span, or for each member in each span."""
    if asked.level is Level.SITE:
        rows = reader.rows(asked.low, asked.high)
        for span, inside in in_spans(rows, asked.spans(), lambda row: row.start_ms):
            yield {**_head(span), **figures(span, inside)}
        return
    if asked.level in {Level.NODE, Level.GPU}:
        stop(f"--by {asked.level.value}: this ledger keeps attribution down to racks")
    quarters = reader.attributions(asked.low, asked.high).items()
    for span, found in in_spans(quarters, asked.spans(), lambda quarter: quarter[0]):
        members = by_member(asked.level, [json.loads(text) for _, text in found])
        for name, values in members.items():
            yield {**_head(span), asked.level.value: name, **values}


def _revisions(reader: LedgerReader, asked: _Asked) -> Iterator[dict[str, Any]]:
    for latest in reader.rows(asked.low, asked.high):
        for row in reader.revisions(latest.start_ms):
            yield {**_of_row(row), **row.data}


def _of_row(row: LedgerRow) -> dict[str, Any]:
    return {
        "start": utc(row.start_ms),
        "end": utc(row.start_ms + INTERVAL_MS),
        "entry": row.seq,
        "revision": row.revision,
        "cause": row.cause,
        "author": row.author,
    }


def _head(span: Span) -> dict[str, Any]:
    return {"start": utc(span.start_ms), "end": utc(span.end_ms), "label": span.label}


def _write(
    lines: list[dict[str, Any]],
    asked: _Asked,
    booked: tuple[int, int] | None,
    *,
    revisions: bool,
    form: str,
) -> None:
    if form == "json":
        write_json(_document(lines, asked))
        return
    if form == "csv":
        write_csv(lines, _HEAD)
        return
    if not lines:
        _say_empty(asked, booked)
    elif revisions:
        revision_table(lines)
    elif asked.level is Level.SITE:
        site_table(lines, asked.zone)
    else:
        member_table(asked.level.value, lines)


def _document(lines: list[dict[str, Any]], asked: _Asked) -> Mapping[str, Any]:
    return {
        "site": None if asked.site is None else asked.site.id,
        "from": utc(asked.low),
        "to": utc(asked.high),
        "by": asked.level.value,
        "units": {"energy": "Wh", "carbon": "g CO2e", "intensity": "g/kWh", "shares": "0..1"},
        "rows": lines,
    }


def _say_empty(asked: _Asked, booked: tuple[int, int] | None) -> None:
    out = console()
    if booked is None:
        out.print("The ledger is empty: no interval is closed yet.")
        return
    what = "No interval is booked" if asked.level is Level.SITE else "Nothing is attributed"
    out.print(f"{what} from {utc(asked.low)} to {utc(asked.high)}.")
    out.print(f"The books reach from {utc(booked[0])} to {utc(booked[1])}.")
