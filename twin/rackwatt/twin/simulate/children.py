# SPDX-License-Identifier: Apache-2.0
"""The simulation's processes: one keeps the books, one fills the store, one copies the ledger.

Started afresh (spawn), so that none inherits another's threads or files. Each ends when its inbox
says so, when the parent is gone, or with a `Failed`; Ctrl-C is the parent's business.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from rackwatt.collector.copies.copier import Copier, CopyStore
from rackwatt.collector.ledger import (
    InputRecord,
    Ledger,
    battery_parameters,
    initial_stock,
    site_factors,
)
from rackwatt.collector.ledger.attribution import Attributor
from rackwatt.collector.ledger.basis import origin_of
from rackwatt.collector.ledger.counters import CounterRecord
from rackwatt.collector.ledger.records import GRACE_MS
from rackwatt.collector.ledger.samples import SampleRecord
from rackwatt.collector.site import Site, load_site
from rackwatt.collector.store import (
    EmbeddedStore,
    InfluxSpec,
    StoreError,
    TokenError,
    open_store,
)
from rackwatt.twin.simulate.filling import EmbeddedFiller, Filler, InfluxFiller
from rackwatt.twin.simulate.messages import Booking, Done, Failed, Filling, Finished
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.inventory import InventoryItem

_CURSOR: Final = "simulation"
_POLL_SECONDS: Final = 0.3
_LEAST_ENTRIES: Final = 60
"""Journal entries that are worth a turn of the copy."""
BOOKS, STORE, COPIES = "books", "store", "copies"


@dataclass(frozen=True, slots=True)
class Folders:
    """Where everything goes.

    Attributes:
        data: `ledger.db` and the site file.
        influx: The store; None: the embedded one, below `data`.
    """

    data: Path
    influx: InfluxSpec | None = None

    @property
    def ledger(self) -> Path:
        """The book of record."""
        return self.data / "ledger.db"

    @property
    def store(self) -> Path:
        """Readings and their rollups, of the embedded store."""
        return self.data / "store"

    @property
    def books(self) -> Path:
        """The ledger's copy, of the embedded store."""
        return self.data / "books"


class ParentGone(Exception):  # noqa: N818 - a state
    """Nobody waits for this process any more."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A child's ends of its two pipes."""

    inbox: Connection
    outbox: Connection

    def messages(self) -> Iterator[Any]:
        """What comes, until `None`.

        Raises:
            ParentGone: without a word.
        """
        while (message := self.next(None)) is not None:
            yield message

    def next(self, seconds: float | None) -> Any:
        """The next message; `NOTHING` when none comes in time.

        Raises:
            ParentGone: and none will come.
        """
        try:
            return self.inbox.recv() if self.inbox.poll(seconds) else NOTHING
        except (EOFError, OSError) as error:
            raise ParentGone from error

    def say(self, message: object) -> None:
        """Tell the parent.

        Raises:
            ParentGone: it does not listen.
        """
        try:
            self.outbox.send(message)
        except OSError as error:
            raise ParentGone from error


NOTHING: Final = object()


@contextlib.contextmanager
def _speaking(who: str, mail: Mailbox) -> Iterator[None]:
    """What goes wrong is told in a line."""
    with contextlib.suppress(ParentGone):
        try:
            yield
        except (sqlite3.Error, OSError, StoreError, TokenError, ValueError, RuntimeError) as error:
            mail.say(Failed(who, f"{type(error).__name__}: {error}"))


# --- the books ---------------------------------------------------------------------------------


def open_ledger(site: Site, path: Path, now_ms: int) -> Ledger:
    """The ledger of a site, with its attribution.

    Raises:
        sqlite3.Error: it cannot be opened.
        RuntimeError: another process writes to it, or it is of a later version.
    """
    ledger = Ledger(
        path,
        site,
        site_factors(site),
        battery_parameters(site),
        initial_stock(site),
        clock=ManualClock(now_ms),
        origin=origin_of(site),
    )
    attributor = Attributor(
        site, ledger.metered, ledger.counters, ledger.closed_through_ms, ledger.samples
    )
    ledger.attribute(attributor)
    return ledger


def keep_books(
    site_file: Path, folders: Folders, items: list[InventoryItem], now_ms: int, mail: Mailbox
) -> None:
    """The process that writes `ledger.db`: readings in, intervals closed, cursors of the copy."""
    with _speaking(BOOKS, mail):
        site = load_site(site_file)
        ledger = open_ledger(site, folders.ledger, now_ms)
        try:
            ledger.inventory(items, now_ms)
            mail.say(Done(BOOKS, now_ms, 0))
            number = 0
            for message in mail.messages():
                if isinstance(message, Booking):
                    number += 1
                    _book(ledger, message, number)
                    closing = ledger.close_intervals(message.close_ms + GRACE_MS)
                    through = closing.closed_through_ms or now_ms
                    mail.say(Done(BOOKS, through, ledger.head_seq()))
                    continue
                for name, seq in message.items():
                    ledger.apply((), seq, name)
            mail.say(Finished(BOOKS, {"head": ledger.head(), "seq": ledger.head_seq()}))
        finally:
            ledger.close()


def _book(ledger: Ledger, message: Booking, number: int) -> None:
    records: list[InputRecord] = []
    for reading in message.readings:
        for time_ms, values in zip(message.times_ms, reading.values.tolist(), strict=True):
            fields = dict(zip(reading.names, values, strict=True))
            records.append(InputRecord(reading.device, time_ms, fields, time_ms))
    counters = [
        CounterRecord(gpu, time_ms, value, time_ms)
        for time_ms, row in zip(message.counter_times_ms, message.counters.tolist(), strict=True)
        for gpu, value in zip(message.gpus, row, strict=True)
    ]
    samples = [SampleRecord(*each, each[2]) for each in message.samples]
    ledger.apply(records, number, _CURSOR, counters, samples)


# --- the store ---------------------------------------------------------------------------------


def fill_store(folders: Folders, mail: Mailbox) -> None:
    """The process that writes readings and rollups."""
    with _speaking(STORE, mail):
        filler: Filler
        if folders.influx is None:
            filler = EmbeddedFiller(folders.store)
        else:
            filler = InfluxFiller(folders.influx)
        rows = 0
        try:
            for message in mail.messages():
                if isinstance(message, Filling):
                    rows += filler.write(message.pieces)
                    mail.say(Done(STORE, 0, rows))
        finally:
            filler.close()
        refused = getattr(filler, "refused", 0)
        facts = {"rows": rows, "refused": refused, "reason": getattr(filler, "reason", "")}
        mail.say(Finished(STORE, facts))


# --- the copy ----------------------------------------------------------------------------------


def copy_books(site_file: Path, folders: Folders, now_ms: int, mail: Mailbox) -> None:
    """The process that copies the ledger into the store while it grows, with its sums."""
    with _speaking(COPIES, mail):
        asyncio.run(_copy(load_site(site_file), folders, now_ms, mail))


async def _copy(site: Site, folders: Folders, now_ms: int, mail: Mailbox) -> None:
    cursors: dict[str, int] = {}

    async def save(name: str, number: int) -> None:
        cursors[name] = number

    # Nothing is too old for a simulated store, and no sum is made twice because time has passed.
    clock = ManualClock(now_ms)
    store = _copy_store(folders, clock)
    copier = Copier(site, folders.ledger, store, save, clock)
    await copier.open()
    await store.start()
    try:
        while (message := await asyncio.to_thread(mail.next, _POLL_SECONDS)) is not None:
            copied = max(cursors.values(), default=0)
            if isinstance(message, int) and message - copied > _LEAST_ENTRIES:
                while await copier.advance():
                    pass
        await copier.finish()
    finally:
        await copier.aclose()
    facts: dict[str, str | int | float | None] = {**cursors}
    mail.say(Finished(COPIES, {**facts, "points": copier.points, "refused": copier.refused}))


def _copy_store(folders: Folders, clock: ManualClock) -> CopyStore:
    if folders.influx is None:
        return EmbeddedStore(folders.books, clock=clock)
    return open_store(folders.influx)
