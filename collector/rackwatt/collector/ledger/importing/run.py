# SPDX-License-Identifier: Apache-2.0
"""The import itself: read, book, write, add up, all in one pass and little memory."""

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from rackwatt.collector.ledger.importing.booking import Booker, claimed
from rackwatt.collector.ledger.importing.closing import Closing
from rackwatt.collector.ledger.importing.lines import line_of
from rackwatt.collector.ledger.importing.provenance import battery_of, provenance
from rackwatt.collector.ledger.importing.reader import FlowsReader
from rackwatt.collector.ledger.importing.sheet import Sheet
from rackwatt.collector.ledger.importing.summary import Summary
from rackwatt.collector.ledger.importing.tally import Tally
from rackwatt.collector.ledger.importing.typist import fits
from rackwatt.collector.ledger.sites import initial_stock, site_factors
from rackwatt.collector.site import Site

_LONG_BYTES: Final = 1_000_000


def import_flows(
    flows: Path, site: Site, target: str, progress: Callable[[int], None] | None = None
) -> Summary:
    """Book a file of flows and write its ledger; an error leaves nothing behind.

    Args:
        flows: The file of flows.
        site: Factors, battery and time zone.
        target: Where the ledger goes; ``-`` for standard output.
        progress: Called now and then with how many bytes have been read.

    Raises:
        FlowsError: The flows are not as they should be.
        OSError: A file cannot be read or written.
    """
    began = time.perf_counter()
    factors = site_factors(site)
    booker = Booker(battery_of(site), factors, initial_stock(site))
    reader = FlowsReader(flows, progress)
    tally, closing = Tally(site.timezone), Closing()
    with _no_cycles(), Sheet(target, second=fits() and _is_long(flows)) as sheet:
        rows = (booker.book(row) for row in reader.rows())
        for booked, claims in claimed(rows):
            line = line_of(booked, claims)
            sheet.write(line, booked.factors)
            tally.add(booked, booked.supplied)
            closing.add(booked)
        added = sheet.finish()
    tally.finish(added)
    items = sorted(booker.items)
    return Summary(
        tally=tally,
        checks=closing.checks(added),
        provenance=provenance(site, factors, booker.used, items, battery=booker.battery),
        unknown_cells=reader.unknown,
        residual_limit_ratio=site.residual_limit_ratio,
        wall_seconds=time.perf_counter() - began,
    )


def _is_long(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > _LONG_BYTES


@contextlib.contextmanager
def _no_cycles() -> Iterator[None]:
    """Spare the search for cyclic garbage: there is none, and millions of objects to look at."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
