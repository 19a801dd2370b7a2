# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger reconcile`: the books against the utility's invoice."""

from math import fsum, isfinite
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from rackwatt.collector.accounting.calendar import Span
from rackwatt.collector.helptext import more
from rackwatt.collector.ledger.commands.app import ledger_app
from rackwatt.collector.ledger.commands.decisions import signed
from rackwatt.collector.ledger.commands.devices import Devices
from rackwatt.collector.ledger.commands.invoices import Charged, gaps, read_invoice
from rackwatt.collector.ledger.commands.options import (
    DATA,
    Author,
    DataFolder,
    Reason,
    SiteFile,
    booked_span,
    ledger_file,
    need_site,
    reading,
)
from rackwatt.collector.ledger.commands.times import month_of, utc
from rackwatt.collector.ledger.commands.writing import Wish, carry_out
from rackwatt.collector.ledger.months import INVOICE_LIMIT_RATIO, RECONCILE
from rackwatt.collector.ledger.orders import ACT
from rackwatt.collector.ledger.reading import LedgerReader
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.collector.site import Site
from rackwatt.collector.site.console import console, show_errors, stop
from rackwatt.collector.site.problems import near
from rackwatt.wire.config import ConfigErrors


@ledger_app.command(
    "reconcile",
    epilog=more(
        "rackwatt ledger reconcile --month 2026-10 --kwh 99400 \\\n"
        "      --author 'A. Amrani' --reason 'invoice 4711 of 3 November'",
        "rackwatt ledger reconcile --month 2026-10 --invoice invoice.csv --meter grid-1 \\\n"
        "      --author 'A. Amrani' --reason 'invoice 4711 of 3 November'",
        done="they agree within 0.5 %",
        failed="they do not: the month cannot become final; or the books do not know the import",
    ),
)
def reconcile_command(
    month: Annotated[
        str, typer.Option("--month", metavar="MONTH", help="The site's month, like 2026-10.")
    ],
    author: Author,
    reason: Reason,
    invoice: Annotated[
        Path | None,
        typer.Option("--invoice", metavar="CSV", help="Rows of from,to,kwh, times with offset."),
    ] = None,
    kwh: Annotated[
        float | None, typer.Option("--kwh", metavar="VALUE", help="The whole month's energy.")
    ] = None,
    meter: Annotated[
        str | None,
        typer.Option("--meter", metavar="ID", help="Only this grid meter; default: all import."),
    ] = None,
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """Compare the booked grid import with the utility's invoice.

    k = invoice / ledger. While k is off by more than 0.5 % the month cannot become final. The
    comparison is recorded in the journal; a later one of the same span takes its place.
    """
    who, why = signed(author, reason)
    if (invoice is None) == (kwh is None):
        stop("name what was charged: --invoice CSV or --kwh VALUE")
    if kwh is not None and not (isfinite(kwh) and kwh >= 0.0):
        stop(f"--kwh: expects a number from 0 on, not {kwh}")
    path = ledger_file(data)
    loaded = need_site(site, data)
    span = month_of(month, loaded.timezone)
    charged = _charged(invoice, kwh, span)
    with reading(path) as reader:
        booked = booked_span(reader)
        if booked is None or booked[1] < span.end_ms:
            through = "are empty" if booked is None else f"are closed up to {utc(booked[1])}"
            stop(f"--month: {span.label} ends at {utc(span.end_ms)}, and the books {through}", 1)
        if charged[-1].end_ms <= booked[0]:
            stop(f"--month: {span.label} lies before the books, which begin at {utc(booked[0])}", 1)
        if meter is None:
            energies = [_import(reader, row) for row in charged]
        else:
            energies = _metered(path, loaded, meter, charged)
    _report(charged, energies)
    known = fsum(energies)
    if known <= 0.0:
        stop("the books have no import in that span: there is nothing to compare with", 1)
    ratio = fsum(row.watt_hours for row in charged) / known
    act = {
        "month": span.label,
        "start_ms": charged[0].start_ms,
        "end_ms": charged[-1].end_ms,
        "invoice_watt_hours": fsum(row.watt_hours for row in charged),
        "ledger_watt_hours": known,
        "ratio": ratio,
        "meter": meter or "",
    }
    wish = Wish(ACT, {"name": RECONCILE, "data": act}, who, why)
    entry = carry_out(path, loaded, wish).data["seq"]
    _judge(ratio, span, entry)


def _charged(invoice: Path | None, kwh: float | None, month: Span) -> list[Charged]:
    if invoice is None:
        return [Charged(month.start_ms, month.end_ms, (kwh or 0.0) * 1000.0)]
    try:
        rows = read_invoice(invoice, month)
    except ConfigErrors as errors:
        show_errors(errors)
        raise typer.Exit(2) from errors
    for start, end in gaps(rows, month):
        console(err=True).print(f"the invoice has no row from {utc(start)} to {utc(end)}")
    return rows


def _import(reader: LedgerReader, row: Charged) -> float:
    """The booked import of a span, Wh.

    Raises:
        typer.Exit: it is not known.
    """
    values = [
        (one.start_ms, one.data["sources"].get("grid", 0.0))
        for one in reader.rows(row.start_ms, row.end_ms)
    ]
    known = [value for _, value in values if value is not None]
    minutes = (row.end_ms - row.start_ms) // INTERVAL_MS
    if len(known) < minutes:
        unknown = [start for start, value in values if value is None]
        where = f", first at {utc(unknown[0])}" if unknown else ""
        stop(
            f"the import is unknown in {minutes - len(known)} of {minutes} minutes{where}: "
            "name a meter with --meter, whose register spans gaps, or reconcile a part with a CSV",
            1,
        )
    return fsum(known)


def _metered(path: Path, site: Site, meter: str, charged: list[Charged]) -> list[float]:
    """What one meter's register says of each span, Wh.

    Raises:
        typer.Exit: it is no grid meter, or its readings are not kept.
    """
    terms = site.terms_at(charged[0].start_ms).roles.get("grid", ())
    names = [term.meter_id for term in terms]
    if meter not in names:
        stop(f"--meter: no grid meter {meter!r} ({near(meter, names)})")
    found: list[float] = []
    with Devices(path, site) as devices:
        for row in charged:
            energy = devices.whole("grid", meter, row.start_ms, row.end_ms)
            if energy is None:
                stop(
                    f"--meter: the energy of {meter} from {utc(row.start_ms)} to "
                    f"{utc(row.end_ms)} is unknown: readings are missing",
                    1,
                )
            found.append(energy)
    return found


def _report(charged: list[Charged], energies: list[float]) -> None:
    out = console()
    for row, energy in zip(charged, energies, strict=True):
        ratio = f"k {row.watt_hours / energy:.5f}" if energy else "k unknown"
        out.print(
            f"{utc(row.start_ms)} to {utc(row.end_ms)}: invoice {row.watt_hours / 1000:,.3f} kWh, "
            f"ledger {energy / 1000:,.3f} kWh, {ratio}"
        )


def _judge(ratio: float, month: Span, entry: int) -> None:
    off = abs(ratio - 1.0)
    out = console()
    out.print(f"k = {ratio:.6f} for {month.label}: recorded as entry {entry}")
    if off > INVOICE_LIMIT_RATIO:
        text = f"off by {off * 100:.2f} %, more than 0.5 %: {month.label} cannot become final"
        out.print(Text(text, style="bold red"))
        out.print("Find the cause (a meter's factor, a missing meter, the invoice), correct it")
        out.print("with 'rackwatt ledger restate', and reconcile again.")
        raise typer.Exit(1)
    out.print(Text(f"agreed: off by {off * 100:.2f} %, at most 0.5 %", style="green"))
