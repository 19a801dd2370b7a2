# SPDX-License-Identifier: Apache-2.0
"""Carries out what `rackwatt deadletter` asks for: replays and drops of dead letters.

A letter leaves in the transaction that keeps its message and moves the order on, so that a crash
at any moment leaves it either where it lay or in the spool, once. Rows that a store refused are
written again before their letters leave: a row that is written twice overwrites itself.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from rackwatt.collector.ingest import deadletters
from rackwatt.collector.ingest.deadletters import Letter, Order, Outcome
from rackwatt.collector.ingest.ingest import Ingest, Places
from rackwatt.collector.ingest.spool import Batch, Spool
from rackwatt.collector.store.base import Row, StoreError, WriteResult
from rackwatt.collector.store.letters import from_payload
from rackwatt.wire.clock import Clock
from rackwatt.wire.codec import Reason
from rackwatt.wire.periodic import ticks
from rackwatt.wire.session import BrokerSettings
from rackwatt.wire.topics import STATUS

_log = logging.getLogger(__name__)

_UNBOUNDED: Final = 2**60
_AT_ONCE: Final = 50
"""Letters of one transaction: what comes from the broker waits meanwhile."""
_OF_READINGS: Final = frozenset(
    {
        Reason.BAD_READING,
        Reason.BAD_VALUE,
        Reason.UNKNOWN_FIELD,
        Reason.OUT_OF_RANGE,
        Reason.DEVICE_CONFLICT,
    }
)
"""Reasons for which a part of a message was refused, and the rest was taken."""


class Writes(Protocol):
    """What of a store is needed."""

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        """Write rows."""


class LetterOrders:
    """The orders in a spool's file.

    Args:
        spool: started.
        ingest: checks messages; need not run.
        store: takes rows; None: orders for its rows wait.
        clock: where the time comes from.
        ready: whether the store can be asked now.
        only_drops: leave replays to somebody who knows the site.
    """

    def __init__(
        self,
        spool: Spool,
        ingest: Ingest,
        store: Writes | None,
        clock: Clock,
        ready: Callable[[], bool] = lambda: True,
        *,
        only_drops: bool = False,
    ) -> None:
        self._spool = spool
        self._ingest = ingest
        self._store = store
        self._clock = clock
        self._ready = ready
        self._only_drops = only_drops

    async def run(self) -> None:
        """Carry out orders until cancelled."""
        async for _ in ticks(0.5, self._clock):
            try:
                await self.carry_out()
            except (sqlite3.Error, StoreError) as error:
                _log.warning("dead letters: %s; the order waits", error)
                await asyncio.sleep(5.0)

    async def carry_out(self) -> None:
        """Carry out what waits; what needs the store waits on where there is none.

        Raises:
            sqlite3.Error: the spool cannot be read.
            StoreError: the store takes nothing now.
        """
        trouble: StoreError | None = None
        for order in await self._spool.look(deadletters.waiting):
            try:
                await self._carry_out(order)
            except StoreError as error:
                trouble = error
        if trouble is not None:
            raise trouble

    async def _carry_out(self, order: Order) -> None:
        if self._only_drops and order.action != "drop":
            return
        rows = await self._spool.look(_rows_among(order))
        away = self._store is None or not self._ready()
        skip = rows if away and order.action == "replay" else frozenset()
        todo = [number for number in order.letters if number not in skip]
        if not todo and skip:
            return
        while True:
            order = await self._step(order, todo[:_AT_ONCE])
            todo = todo[_AT_ONCE:]
            if not todo:
                break
        _log.info("dead letters: order %d: %s", order.number, order.outcome.text())

    async def _step(self, order: Order, numbers: Sequence[int]) -> Order:
        """Some of an order's letters; the order as it stands then."""
        found = await self._spool.look(lambda db: deadletters.letters(db, numbers))
        outcome = order.outcome.plus(Outcome(gone=len(numbers) - len(found)))
        batch = Batch()
        if order.action == "drop":
            batch.dropped = [item.id for item in found]
            outcome = outcome.plus(Outcome(dropped=len(found)))
            found = []
        rows = [item for item in found if item.reason == Reason.REFUSED_BY_STORE]
        outcome = outcome.plus(await self._write(rows, batch))
        left = [number for number in order.letters if number not in set(numbers)]
        after = replace(order, letters=left, state="waiting" if left else "done")

        def make() -> Batch:
            nonlocal after
            checked = [self._again(item, batch) for item in found if item not in rows]
            after = replace(after, outcome=sum_of(outcome, checked))
            batch.tallies = self._ingest.counts.tallies()
            batch.notes.append(deadletters.order_note(after))
            return batch

        await self._ingest.save(make)
        return after

    async def _write(self, letters: Sequence[Letter], batch: Batch) -> Outcome:
        """Rows to the store once more."""
        outcome = Outcome()
        rows: dict[int, Row] = {}
        for item in letters:
            try:
                rows[item.id] = from_payload(item.payload)
            except ValueError as error:
                outcome = outcome.plus(_refused(str(error)))
        if rows and self._store is not None:
            result = await self._store.write(list(rows.values()))
            refused = {id(row): why for row, why in result.rejected}
            for number, row in rows.items():
                if (why := refused.get(id(row))) is not None:
                    outcome = outcome.plus(_refused(why))
                else:
                    batch.replayed.append(number)
                    outcome = outcome.plus(Outcome(replayed=1))
        return outcome

    def _again(self, letter: Letter, batch: Batch) -> Outcome:
        """One message through ingest's checks; what is taken joins the batch."""
        if letter.size > len(letter.payload):
            return _refused("it was too large: only its beginning is kept")
        if letter.topic.endswith(f"/{STATUS}"):
            return _refused("a status is true only when it is said, and agents say it anew")
        partly = letter.reason in _OF_READINGS
        checked = self._ingest.reconsider(
            letter.topic, letter.payload, letter.received_ms, again=partly
        )
        same = [item for item in checked.deadletters if item.reason == letter.reason]
        if same or (checked.deadletters and not checked.messages):
            return _refused((same or checked.deadletters)[0].detail)
        batch.messages += checked.messages
        batch.decoded += checked.decoded
        batch.watches += checked.watches
        batch.clocks += checked.clocks
        batch.notes += checked.notes
        batch.replayed.append(letter.id)
        if not partly:  # else each has its letter already
            batch.deadletters += checked.deadletters
            self._ingest.counts.rejected.update(item.reason for item in checked.deadletters)
        return Outcome(replayed=1)


@asynccontextmanager
async def open_orders(
    path: Path, places: Places | None, clock: Clock
) -> AsyncIterator[LetterOrders]:
    """The orders of a spool that no collector writes; the caller holds its lock.

    Args:
        path: the spool's file.
        places: the site; None: only drops are carried out.
        clock: where the time comes from.

    Raises:
        sqlite3.Error: the file cannot be used.
    """
    spool = Spool(path, max_bytes=_UNBOUNDED, clock=clock)
    watches = await spool.start()
    try:
        broker = BrokerSettings(url="mqtt://127.0.0.1")  # never asked
        ingest = Ingest(broker, places or _Nowhere(), spool, clock)
        ingest.watch.restore(watches)
        yield LetterOrders(spool, ingest, None, clock, only_drops=places is None)
    finally:
        await spool.aclose()


class _Nowhere:
    """No site."""

    id: str = ""
    halls_ids: Sequence[str] = ()

    def hall_of_agent(self, agent: str) -> str | None:
        del agent
        return None


def sum_of(outcome: Outcome, more: Sequence[Outcome]) -> Outcome:
    """All together."""
    for item in more:
        outcome = outcome.plus(item)
    return outcome


def _refused(why: str) -> Outcome:
    return Outcome(refused=1, why={why[:200]: 1})


def _rows_among(order: Order) -> Callable[[sqlite3.Connection], frozenset[int]]:
    def work(db: sqlite3.Connection) -> frozenset[int]:
        query = "SELECT id FROM deadletters WHERE reason = ?"
        rows = {number for (number,) in db.execute(query, (Reason.REFUSED_BY_STORE,))}
        return frozenset(rows.intersection(order.letters))

    return work
