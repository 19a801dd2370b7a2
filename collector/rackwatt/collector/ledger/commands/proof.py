# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger verify` and `anchor`: what the books prove, to others too."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from rackwatt.collector.helptext import more
from rackwatt.collector.ledger.anchors import BadAnchors, anchor_of, read_anchors, write_anchor
from rackwatt.collector.ledger.commands.app import ledger_app
from rackwatt.collector.ledger.commands.basis import older_line
from rackwatt.collector.ledger.commands.forms import write_json
from rackwatt.collector.ledger.commands.options import (
    DATA,
    AsJson,
    DataFolder,
    SiteFile,
    find_site,
    ledger_file,
    reading,
)
from rackwatt.collector.ledger.commands.times import utc
from rackwatt.collector.ledger.sites import battery_parameters, initial_stock, site_factors
from rackwatt.collector.ledger.verify import MOST_FINDINGS, Finding, Verification, verify
from rackwatt.collector.site import Site
from rackwatt.collector.site.console import console, stop
from rackwatt.wire.clock import SYSTEM_CLOCK

_SHOWN: Final = 50
_WHAT: Final = {
    "interval": "minute",
    "attribution": "quarter hour",
    "act": "act of",
    "anchor": "anchor",
}


@ledger_app.command(
    "verify",
    epilog=more(
        "rackwatt ledger verify",
        "rackwatt ledger verify --data data --anchor anchors-of-the-auditor.txt",
        done="sound",
        failed="findings, each with entry, time and what is wrong; or it cannot be read",
    ),
)
def verify_command(
    anchor: Annotated[
        Path | None,
        typer.Option("--anchor", metavar="FILE", help="Anchors that were kept outside."),
    ] = None,
    as_json: AsJson = False,
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """Prove the books: chain, revisions, rows, attribution.

    Follows the hash of every entry, books each revision again from what it was booked from, the
    battery before it and the basis that the journal has for it ('rackwatt ledger basis'), and
    with the site file makes bookings again from readings where these are kept (35 days). A chain
    that somebody rebuilt from its beginning is sound by itself: only hashes that were kept
    outside show that, so give them with --anchor. Reads only: the accountant may run.
    """
    path = ledger_file(data)
    loaded = find_site(site, data)
    if anchor is not None and anchor.is_dir():
        stop(f"--anchor: {anchor} is a folder: name the file with the lines")
    if anchor is not None and not anchor.is_file():
        stop(f"--anchor: there is no file {anchor}")
    with reading(path):
        try:
            if anchor is not None and not read_anchors(anchor):
                stop(f"--anchor: {anchor} holds no anchor, so it proves nothing")
            found = _verified(path, anchor, loaded)
        except BadAnchors as error:
            stop(str(error))
        except OSError as error:
            stop(f"--anchor: {anchor} cannot be read: {error.strerror}", 1)
    if as_json:
        write_json(_document(found, anchor, loaded))
    else:
        _show(found, anchor, loaded)
    if not found.sound:
        raise typer.Exit(1)


def _verified(path: Path, anchor: Path | None, site: Site | None) -> Verification:
    if site is None:
        return verify(path, anchor=anchor)
    return verify(
        path,
        anchor=anchor,
        site=site,
        factors=site_factors(site),
        battery=battery_parameters(site),
        initial_watt_hours=initial_stock(site),
        files=site.files,
        racks=site,
    )


def _show(found: Verification, anchor: Path | None, site: Site | None) -> None:
    out = console()
    out.print(f"chain       {found.entries} entries, each hash and its place")
    _show_rows(found, site)
    if anchor is None:
        out.print("anchors     none given: --anchor proves that the chain was not rebuilt")
    else:
        out.print(f"anchors     {found.anchored} looked for")
    for finding in found.findings[:_SHOWN]:
        out.print(Text(_line(finding), style="red"))
    if found.sound and not found.entries:
        out.print("The ledger is empty: there is nothing to prove yet.")
        return
    if found.sound:
        out.print(Text("sound: nothing is wrong", style="green"))
        return
    count = len(found.findings)
    if count > _SHOWN:
        out.print(f"... and {count - _SHOWN} more: --json has them")
    more_there = " or more" if count >= MOST_FINDINGS else ""
    out.print(Text(f"{count}{more_there} finding{'s' * (count != 1)}", style="bold red"))


def _show_rows(found: Verification, site: Site | None) -> None:
    out = console()
    readings = f"{found.from_inputs} from readings"
    if site is None:
        readings = "none from readings: that needs --site"
    earlier = f" and {found.superseded} earlier revisions" if found.superseded else ""
    out.print(f"rows        {found.recomputed} booked again{earlier}, {readings}")
    if found.skipped:
        out.print(
            f"            {found.skipped} not booked again: the journal has no basis for them"
        )
        if site is None:
            out.print("            name the site file of their time with --site")
    if found.guessed:
        by = "the site file" if site is not None else "the first basis"
        out.print(f"            {found.guessed} older than the journal's first basis: by {by}")
    if found.bases:
        out.print(f"bases       {found.bases}: 'rackwatt ledger basis' lists them")
    if found.older is not None:
        out.print(Text(older_line(found.older), style="yellow"))


def _line(finding: Finding) -> str:
    entry = "no entry" if finding.seq is None else f"entry {finding.seq}"
    what = _WHAT.get(finding.kind, finding.kind)
    when = "" if finding.start_ms is None else f" {utc(finding.start_ms)}"
    return f"{entry}, {what}{when}: {finding.message}"


def _document(found: Verification, anchor: Path | None, site: Site | None) -> dict[str, Any]:
    return {
        "sound": found.sound,
        "entries": found.entries,
        "rows_recomputed": found.recomputed,
        "revisions_recomputed": found.superseded,
        "rows_without_basis": found.guessed + found.skipped,
        "rows_skipped": found.skipped,
        "bases": found.bases,
        "rows_of_older_basis": 0 if found.older is None else found.older.rows,
        "bookings_from_readings": None if site is None else found.from_inputs,
        "anchors": None if anchor is None else found.anchored,
        "findings": [
            {
                "entry": one.seq,
                "kind": one.kind,
                "start": None if one.start_ms is None else utc(one.start_ms),
                "message": one.message,
            }
            for one in found.findings
        ],
    }


@ledger_app.command(
    "anchor",
    epilog=more(
        "rackwatt ledger anchor",
        "rackwatt ledger anchor --file /mnt/auditor/anchors.txt",
        "rackwatt ledger anchor | mail -s 'ledger anchor' auditor@example.org",
        failed="the ledger cannot be read, or the file cannot be written",
    ),
)
def anchor_command(
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Add the line there, once a day."),
    ] = None,
    data: DataFolder = DATA,
) -> None:
    """Say what the chain ends with, to be kept outside.

    One line of day, entry and hash, for a place where you cannot change it. Whoever holds the line
    can prove later, with 'verify --anchor', that nothing before it was changed: mail it to the
    auditor each day, or have it time-stamped (RFC 3161).
    """
    path = ledger_file(data)
    with reading(path) as reader:
        line = anchor_of(reader, SYSTEM_CLOCK.now_ms())
        if line.seq == 0:
            stop("the ledger is empty: there is nothing to anchor")
        if file is None:
            typer.echo(str(line))
            return
        try:
            written = write_anchor(file, reader, SYSTEM_CLOCK.now_ms())
        except BadAnchors as error:
            stop(str(error))
        except OSError as error:
            stop(f"--file: {file} cannot be written: {error.strerror}", 1)
    if written is None:
        console(err=True).print(f"{file} already has a line of {line.day}; it stays as it is.")
        return
    typer.echo(str(written))
