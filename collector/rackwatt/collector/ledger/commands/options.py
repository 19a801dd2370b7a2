# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have, and how the files that they name are found."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from rackwatt.collector.ledger.reading import Books, LedgerReader, OlderLedger
from rackwatt.collector.site import Site
from rackwatt.collector.site.console import load_or_stop, stop

DATA: Final = Path("data")
LEDGER: Final = "ledger.db"
SITE: Final = "site.yaml"

DataFolder = Annotated[
    Path,
    typer.Option(
        "--data", metavar="DIR", help="Folder of the books: of 'rackwatt up', or the accountant's."
    ),
]
SiteFile = Annotated[
    Path | None,
    typer.Option(
        "--site",
        metavar="FILE",
        help="The site file; default: site.yaml in the folder, where a simulated site has it.",
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="TIME", help="2026-10-01 (local midnight) or 2026-10-01T06:00:00+01:00."
    ),
]
To = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="Up to this time, itself excluded.")
]
Author = Annotated[
    str, typer.Option("--author", metavar="NAME", help="Who decides it; kept in the journal.")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the journal.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, numbers in full precision.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Write CSV, numbers in full precision.")]


def ledger_file(data: Path) -> Path:
    """The ledger of a data folder, whoever's it is.

    Raises:
        typer.Exit: there is none.
    """
    if data.is_file():
        return data
    places = [data / LEDGER, data / "accountant" / LEDGER]
    for place in places:
        if place.is_file():
            return place
    if not data.is_dir():
        stop(f"--data: there is no folder {data}; name the one of 'rackwatt up' or 'account'")
    return stop(
        f"--data: no ledger in {data}: neither {places[0]} nor {places[1]} is there; "
        "name the folder of 'rackwatt up' or 'rackwatt account'"
    )


def find_site(site: Path | None, data: Path) -> Site | None:
    """The site that was named, or the simulated one of a data folder; ``None`` without either.

    Raises:
        typer.Exit: its file is wrong.
    """
    if site is not None:
        return load_or_stop(site)
    for folder in (data, data.parent):
        if data.is_dir() and (folder / SITE).is_file():
            return load_or_stop(folder / SITE)
    return None


def need_site(site: Path | None, data: Path) -> Site:
    """The site of a data folder.

    Raises:
        typer.Exit: it was not named and is not there, or its file is wrong.
    """
    found = find_site(site, data)
    if found is None:
        stop(f"--site: name the site file; there is no {data / SITE}")
    return found


def one_form(*, as_json: bool, as_csv: bool) -> None:
    """See that not both forms are asked for.

    Raises:
        typer.Exit: they are.
    """
    if as_json and as_csv:
        stop("--json and --csv: choose one")


@contextmanager
def reading(path: Path) -> Iterator[LedgerReader]:
    """Open a ledger for reading; what goes wrong becomes one line and exit code 1.

    Raises:
        typer.Exit: it cannot be read.
    """
    try:
        with LedgerReader(path) as reader:
            yield reader
    except OlderLedger as error:
        stop(str(error), 1)
    except sqlite3.DatabaseError as error:
        stop(f"{path} cannot be read: {error}; is it a ledger?", 1)


def booked_span(books: Books) -> tuple[int, int] | None:
    """Start of the first and end of the last closed interval; ``None`` without any."""
    first, closed = books.first_ms(), books.closed_through_ms()
    return None if first is None or closed is None else (first, closed)
