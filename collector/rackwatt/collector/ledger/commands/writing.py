# SPDX-License-Identifier: Apache-2.0
"""Decisions about the books: carried out at once, or by the accountant that holds the ledger."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rackwatt.collector.ledger.attribution import Attributor
from rackwatt.collector.ledger.basis import origin_of
from rackwatt.collector.ledger.book import Ledger
from rackwatt.collector.ledger.orders import LedgerBusy, Order, look_up, place_order
from rackwatt.collector.ledger.schema import NewerLedger
from rackwatt.collector.ledger.sites import battery_parameters, initial_stock, site_factors
from rackwatt.collector.site import Site
from rackwatt.collector.site.console import stop
from rackwatt.wire.clock import SYSTEM_CLOCK, Clock

WAIT_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of the ledger; see :mod:`rackwatt.collector.ledger.orders`."""

    name: str
    data: Mapping[str, Any]
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        data: What the ledger says of it.
        at_once: Carried out here; else by the accountant, which books again by itself.
        restated: Rows that came out differently; ``None`` where the accountant books.
    """

    data: Mapping[str, Any]
    at_once: bool
    restated: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long to wait for an accountant, and how."""

    seconds: float = WAIT_SECONDS
    clock: Clock = SYSTEM_CLOCK
    pause: Callable[[float], None] = time.sleep


def open_ledger(path: Path, site: Site) -> Ledger:
    """Open a ledger for writing as its accountant would.

    Raises:
        LedgerBusy: an accountant has it open.
        NewerLedger: it was written by a later release.
        sqlite3.Error: it is no ledger or cannot be written.
    """
    ledger = Ledger(
        path,
        site,
        site_factors(site),
        battery_parameters(site),
        initial_stock(site),
        origin=origin_of(site),
    )
    attributor = Attributor(
        site, ledger.metered, ledger.counters, ledger.closed_through_ms, ledger.samples
    )
    ledger.attribute(attributor)
    return ledger


def carry_out(path: Path, site: Site, wish: Wish, waiting: Waiting | None = None) -> Outcome:
    """Have a decision carried out, at once or by the accountant.

    Args:
        path: the ledger.
        site: its site, by whose words rows are booked again.
        wish: what is asked.
        waiting: how to wait for an accountant.

    Raises:
        typer.Exit: it was refused, or nobody carried it out in time; which of them was said.
    """
    with _plainly(path):
        try:
            ledger = open_ledger(path, site)
        except LedgerBusy:
            return Outcome(_by_accountant(path, wish, waiting or Waiting()), at_once=False)
        with closing(ledger):
            number = _place(path, wish, SYSTEM_CLOCK)
            ledger.carry_out_orders()
            data = _said(path, number)
            return Outcome(data, at_once=True, restated=ledger.book_again().restated)


def is_busy(path: Path, site: Site) -> bool:
    """Whether an accountant has the ledger open."""
    with _plainly(path):
        try:
            open_ledger(path, site).close()
        except LedgerBusy:
            return True
        return False


@contextmanager
def _plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except NewerLedger as error:
        stop(f"{path}: {error}", 1)
    except OSError as error:
        stop(f"{error.filename or path} cannot be written: {error.strerror}", 1)
    except sqlite3.Error as error:
        stop(f"{path} cannot be written: {error}", 1)


def _place(path: Path, wish: Wish, clock: Clock) -> int:
    return place_order(path, wish.name, wish.data, wish.author, wish.reason, clock.now_ms())


def _by_accountant(path: Path, wish: Wish, waiting: Waiting) -> Mapping[str, Any]:
    number = _place(path, wish, waiting.clock)
    end = waiting.clock.monotonic() + waiting.seconds
    while waiting.clock.monotonic() < end:
        order = look_up(path, number)
        if order is not None and order.state != "waiting":
            return _outcome(order)
        waiting.pause(_PAUSE_SECONDS)
    return stop(
        f"the accountant has not carried out order {number} in {waiting.seconds:g} s: "
        "it stays in the ledger and is carried out as soon as the accountant gets to it",
        1,
    )


def _said(path: Path, number: int) -> Mapping[str, Any]:
    order = look_up(path, number)
    if order is None or order.state == "waiting":
        stop(f"{path}: order {number} was not carried out", 1)
    return _outcome(order)


def _outcome(order: Order) -> Mapping[str, Any]:
    if order.state == "refused":
        stop(f"not done: {order.outcome['error']}")
    outcome: Mapping[str, Any] = order.outcome
    return outcome
