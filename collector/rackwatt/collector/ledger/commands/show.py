# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger show`: what the books say of a span of time."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rackwatt.collector.accounting.calendar import Every, Span, spans
from rackwatt.collector.accounting.period import hour_matches
from rackwatt.collector.accounting.rules import Rules
from rackwatt.collector.accounting.vocabulary import HOUR_MS
from rackwatt.collector.helptext import more
from rackwatt.collector.ledger.by_meter import MeterSums, MeterTerms, meter_sums
from rackwatt.collector.ledger.commands.app import ledger_app
from rackwatt.collector.ledger.commands.basis import older_line, rules_today
from rackwatt.collector.ledger.commands.devices import Devices
from rackwatt.collector.ledger.commands.figures import Line, as_dict, in_spans, lines
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
from rackwatt.collector.ledger.view import booked, rules_of
from rackwatt.collector.site import Site
from rackwatt.collector.site.console import console, stop
from rackwatt.collector.site.problems import near

_DAY_MS: Final = 24 * HOUR_MS
_HEAD: Final = ("start", "end", "label")
_BELOW: Final = (Level.NODE, Level.GPU)
"""Levels that the journal does not keep."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be shown."""

    low: int
    high: int
    every: Every
    zone: tzinfo
    level: Level
    site: Site | None
    path: Path
    booked: tuple[int, int] | None

    def inside(self) -> tuple[int, int]:
        """The part in which something is booked: of a span that is not over, so far."""
        if self.booked is None or self.level is not Level.SITE:
            return self.low, self.high
        low = max(self.low, self.booked[0])
        return low, max(low, min(self.high, self.booked[1]))

    def spans(self) -> Iterator[Span]:
        """All spans."""
        return spans(*self.inside(), self.every, self.zone)


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
    """Show energy, origins, carbon and key figures.

    Without --from and --to it is the last day. Minutes and hours are UTC, days and months the
    site's. The table has units; JSON and CSV have Wh, g and ratios 0..1 in full precision under
    the ledger's own names. What is unknown is said to be so (null, an empty cell), and is never
    0. Reads only: the accountant may run.
    """
    one_form(as_json=as_json, as_csv=as_csv)
    length, level = every_of(every), _level(by)
    if level is not Level.SITE and length == "1m":
        stop("--every: attribution is kept by quarter hours; with --by use 15m or longer")
    if revisions and level is not Level.SITE:
        stop("--revisions shows the site's minutes; leave --by out")
    path = ledger_file(data)
    known = find_site(site, data)
    zone: tzinfo = UTC if known is None else known.timezone
    if known is None and not (as_json or as_csv):
        console(err=True).print("no --site: dates, days and months are UTC", style="dim")
    if known is None and level in _BELOW:
        stop(f"--by {level.value}: name the site file with --site: it says where nodes stand")
    with reading(path) as reader:
        span = booked_span(reader)
        low, high = span_of(start, end, zone, _last_day(span))
        if level is not Level.SITE and (low % QUARTER_MS or high % QUARTER_MS):
            stop("--from and --to: attribution is kept by quarter hours: begin and end on one")
        asked = _Asked(low, high, length, zone, level, known, path, span)
        form = "json" if as_json else "csv" if as_csv else "table"
        if revisions:
            _write(list(_revisions(reader, asked)), asked, form, revision_table)
        elif level is not Level.SITE:
            found = list(_members(reader, asked))
            _write(found, asked, form, partial(member_table, level.value, zone))
        else:
            _write_site(list(_site_lines(reader, asked)), asked, form)
        older = reader.bases().older(rules_today(known), low, high)
        if older is not None and not (as_json or as_csv):
            console(err=True).print(older_line(older), style="dim", soft_wrap=True)


def _level(text: str) -> Level:
    try:
        return Level(text)
    except ValueError:
        stop(f"--by: no level {text!r} ({near(text, list(Level))})")


def _last_day(span: tuple[int, int] | None) -> tuple[int, int]:
    """The day that ends with the last closed interval, from a full hour on."""
    if span is None:
        return 0, 0
    low = max(span[0], span[1] - _DAY_MS) // HOUR_MS * HOUR_MS
    return low, -(-span[1] // QUARTER_MS) * QUARTER_MS


def _site_lines(reader: LedgerReader, asked: _Asked) -> Iterator[Line]:
    """The figures of each span, and behind them those of all."""
    rules = Rules() if asked.site is None else rules_of(asked.site)
    low, high = asked.inside()
    hours = None
    if rules.contracts:
        # Claims are matched in whole hours, whatever part of one is shown.
        rows = reader.rows(low // HOUR_MS * HOUR_MS, -(-high // HOUR_MS) * HOUR_MS)
        hours = hour_matches(booked(row) for row in rows)
    before = reader.rows(low - QUARTER_MS, low)
    terms = None if asked.site is None else MeterTerms(asked.site)

    def meters(start_ms: int, end_ms: int) -> MeterSums:
        if terms is None or end_ms - start_ms < QUARTER_MS:
            return MeterSums()
        return meter_sums(reader.meters(start_ms, end_ms), terms)

    return lines(reader.rows(low, high), asked.spans(), rules, hours, before, meters)


def _members(reader: LedgerReader, asked: _Asked) -> Iterator[dict[str, Any]]:
    """One line for each member of a level in each span."""
    with ExitStack() as stack:
        quarters = _quarters(reader, asked, stack)
        for span, found in in_spans(quarters, asked.spans(), lambda quarter: quarter[0]):
            members = by_member(asked.level, (values for _, values in found))
            for name, values in members.items():
                yield {**_head(span), asked.level.value: name, **values}


def _quarters(
    reader: LedgerReader, asked: _Asked, stack: ExitStack
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Quarter hours as the journal has them; below racks attributed again from the inputs."""
    kept = reader.attributions(asked.low, asked.high)
    if asked.level not in _BELOW or asked.site is None:
        for start, text in kept.items():
            yield start, json.loads(text)
        return
    devices = stack.enter_context(Devices(asked.path, asked.site))
    for start in kept:
        tree = devices.tree(start, list(reader.rows(start, start + QUARTER_MS)))
        yield start, {} if tree is None else tree


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


def _write_site(found: Sequence[Line], asked: _Asked, form: str) -> None:
    def dicts(some: Sequence[Line]) -> list[dict[str, Any]]:
        return [{**(_head(one.span) if one.span else {}), **as_dict(one)} for one in some]

    if form == "json":
        every = dicts(found)
        write_json({**_document(every[:-1], asked), "all": every[-1] if every else None})
    elif form == "csv":
        write_csv(dicts(found[:-1]), _HEAD)
    elif found:
        site_table(found, asked.zone, asked.every)
    else:
        _say_empty(asked)


def _write(
    found: list[dict[str, Any]],
    asked: _Asked,
    form: str,
    table: Callable[[list[dict[str, Any]]], None],
) -> None:
    if form == "json":
        write_json(_document(found, asked))
    elif form == "csv":
        write_csv(found, _HEAD)
    elif found:
        table(found)
    else:
        _say_empty(asked)


def _document(rows: list[dict[str, Any]], asked: _Asked) -> Mapping[str, Any]:
    return {
        "site": None if asked.site is None else asked.site.id,
        "from": utc(asked.low),
        "to": utc(asked.high),
        "by": asked.level.value,
        "units": {
            "energy": "Wh",
            "water": "L",
            "carbon": "g CO2e",
            "intensity": "g/kWh",
            "shares": "0..1",
        },
        "rows": rows,
    }


def _say_empty(asked: _Asked) -> None:
    span = asked.booked
    out = console()
    if span is None:
        out.print("The ledger is empty: no interval is closed yet.")
        return
    what = "No interval is booked" if asked.level is Level.SITE else "Nothing is attributed"
    out.print(f"{what} from {utc(asked.low)} to {utc(asked.high)}.")
    out.print(f"The books reach from {utc(span[0])} to {utc(span[1])}.")
