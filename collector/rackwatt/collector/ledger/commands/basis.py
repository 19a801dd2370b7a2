# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger basis`: by what rows were booked, and since when."""

from typing import Any

from rich.text import Text

from rackwatt.collector.helptext import more
from rackwatt.collector.ledger.bases import Basis, Older
from rackwatt.collector.ledger.commands.app import ledger_app
from rackwatt.collector.ledger.commands.basis_words import changes, contents
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
from rackwatt.collector.ledger.rules import Rules
from rackwatt.collector.ledger.sites import battery_parameters, initial_stock, site_factors
from rackwatt.collector.site import Site
from rackwatt.collector.site.console import console


def rules_today(site: Site | None) -> Rules | None:
    """By what a site file would have rows booked."""
    if site is None:
        return None
    return Rules(site_factors(site), battery_parameters(site), initial_stock(site))


def older_line(older: Older) -> str:
    """Say that rows have other rules than today's, and what restates them."""
    return (
        f"{older.rows} closed rows were booked under an older basis than today's; to restate them: "
        f"rackwatt ledger restate --from {utc(older.start_ms)} --to {utc(older.end_ms)} "
        "--author NAME --reason TEXT"
    )


@ledger_app.command(
    "basis",
    epilog=more(
        "rackwatt ledger basis",
        "rackwatt ledger basis --data data --json",
        failed="the ledger cannot be read",
    ),
)
def basis_command(
    as_json: AsJson = False,
    data: DataFolder = DATA,
    site: SiteFile = None,
) -> None:
    """List by what rows were booked, and since when.

    Factors, battery and files, and what changed from one to the next.

    The journal keeps all that turns metered energies into a row, so that each row can be booked
    again from the ledger alone. Closed rows keep theirs until they are restated.
    """
    path = ledger_file(data)
    today = rules_today(find_site(site, data))
    with reading(path) as reader:
        bases = reader.bases()
        older = bases.older(today)
    if as_json:
        before: list[Basis | None] = [None, *bases.items]
        write_json([_document(*pair) for pair in zip(before, bases.items, strict=False)])
        return
    out = console()
    if not bases.items:
        out.print("The journal has no basis: nothing is booked yet, or by an earlier release only.")
    for index, basis in enumerate(bases.items):
        out.print(f"entry {basis.seq}, {utc(basis.time_ms)}", markup=False, highlight=False)
        for line in _lines(bases.items[index - 1] if index else None, basis):
            out.print(Text(f"  {line}"), soft_wrap=True)
    if older is not None:
        out.print(Text(older_line(older), style="yellow"), soft_wrap=True)


def _lines(before: Basis | None, basis: Basis) -> list[str]:
    return contents(basis) if before is None else changes(before, basis)


def _document(before: Basis | None, basis: Basis) -> dict[str, Any]:
    return {
        "entry": basis.seq,
        "time": utc(basis.time_ms),
        "changes": _lines(before, basis),
        "basis": dict(basis.words),
    }
