# SPDX-License-Identifier: Apache-2.0
"""Copies the ledger into the store, and keeps its sums there, beside everything else.

Follows the journal by its numbers with two cursors in `ledger.db`, one for what is copied and one
for what is summed; each is saved only after the store took the points. So a store that is down
holds up nothing but its copy, and what is written twice overwrites itself.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from rackwatt.collector.copies.book import Book
from rackwatt.collector.copies.making import Maker
from rackwatt.collector.copies.spans import Group, Spans
from rackwatt.collector.site import Site
from rackwatt.collector.store.base import Row, Store, StoreRefused, StoreUnavailable
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import Clock

_log = logging.getLogger(__name__)
T = TypeVar("T")

BATCH_ENTRIES: Final = 500
PAUSE_SECONDS: Final = 1.0
BESIDE: Final = 120
"""Batches of rows beside the ledger's that wait for a store that is away; then the oldest go."""
_GROUPS: Final[Mapping[str, Group]] = {"interval": "interval", "attribution": "attribution"}

Save = Callable[[str, int], Awaitable[None]]
"""Keeps a cursor in the ledger: its name and its number."""


class CopyStore(Store, Protocol):
    """A store that can be told from another."""

    def identity(self) -> str:
        """Which one it is: another one is filled from the journal's beginning. Blocks."""


class Copier:
    """The copy of one ledger in one store.

    Characteristics: reads `ledger.db` by a connection of its own in a thread of its own, which
    also does the sums; writes nothing but the store, and its cursors through `save`.

    Args:
        site: the site.
        path: `ledger.db`, which must exist when it runs.
        store: where the copy goes, not started.
        save: keeps a cursor.
        clock: where the time comes from.
    """

    def __init__(self, site: Site, path: Path, store: CopyStore, save: Save, clock: Clock) -> None:
        self._site = site
        self._path = path
        self._store = store
        self._names = ("", "")
        self._save = save
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="copy")
        self._maker: Maker
        self._spans = Spans(site.timezone)
        self._beside: deque[Sequence[Row]] = deque()
        self._copied = 0
        self._summed = 0
        self._last = 0
        self.points = 0
        self.refused = 0
        self.forgotten = 0
        """Rows beside the ledger's that no store took in time."""
        self.up = False
        """Whether the store took what it was given last."""
        self.error = ""
        """The newest error, empty while all is well."""
        self.failed_ms: int | None = None
        """When it last failed."""

    @property
    def lag_entries(self) -> int:
        """Entries of the journal that are not in the store."""
        return max(0, self._last - self._copied)

    @property
    def lag_sums(self) -> int:
        """Hours, days and months that are to be summed again."""
        return len(self._spans)

    def add(self, rows: Sequence[Row]) -> None:
        """Have rows written that are not the ledger's and cannot be made again from it."""
        self._beside.append(rows)
        while len(self._beside) > BESIDE:
            gone = self._beside.popleft()
            if not self.forgotten:
                _log.warning(
                    "copy of the ledger: figures of chains, racks and halls are lost meanwhile"
                )
            self.forgotten += len(gone)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def run(self) -> None:
        """Copy until cancelled.

        Raises:
            sqlite3.Error: the ledger cannot be read.
        """
        backoff = Backoff(first=0.5, cap=30.0)
        opened = False
        try:
            while True:
                try:
                    if not opened:
                        await self.open()
                        opened = True
                    await self._store.start()
                    while True:
                        more = await self.advance()
                        self.up, self.error = True, ""
                        backoff.reset()
                        await asyncio.sleep(0 if more else PAUSE_SECONDS)
                except (StoreUnavailable, StoreRefused) as error:
                    self._fail(error)
                    asked = getattr(error, "retry_after", None)
                    await asyncio.sleep(max(backoff.next(), asked or 0.0))
        finally:
            await self.aclose()

    def _fail(self, error: Exception) -> None:
        if str(error) != self.error:
            _log.warning("copy of the ledger: %s; trying again", error)
        self.up, self.error, self.failed_ms = False, str(error), self._clock.now_ms()

    async def open(self) -> None:
        """Go on where the last one ended.

        Raises:
            sqlite3.Error: the ledger cannot be read.
        """

        def work() -> tuple[int, int, list[tuple[int, str, int]]]:
            target = self._store.identity()
            self._names = (f"copy:{target}", f"sums:{target}")
            self._maker = Maker(self._site, Book(self._path))
            copied, summed = (self._maker.book.cursor(name) or 0 for name in self._names)
            return copied, summed, self._maker.again(summed, copied)

        self._copied, self._summed, touched = await self._in_thread(work)
        for seq, kind, start_ms in touched:
            self._touch(kind, start_ms, seq)

    async def aclose(self) -> None:
        """Let go of ledger and store."""

        def work() -> None:
            if hasattr(self, "_maker"):
                self._maker.book.close()

        await self._in_thread(work)
        self._thread.shutdown(wait=False)
        await self._store.aclose()

    def _touch(self, kind: str, start_ms: int, seq: int) -> None:
        group = _GROUPS.get(kind)
        if group is not None:
            self._spans.touch(group, start_ms, seq)

    async def advance(self) -> bool:
        """Copy a batch and make the sums that are due; returns whether more waits already.

        Raises:
            StoreUnavailable, StoreRefused: what was not written is tried again next time.
            sqlite3.Error: the ledger cannot be read.
        """
        while self._beside:
            rows = self._beside[0]
            await self._write(rows)
            if self._beside and self._beside[0] is rows:  # else it went for its age meanwhile
                self._beside.popleft()
        after = self._copied
        batch = await self._in_thread(lambda: self._maker.batch(after, BATCH_ENTRIES))
        self._last = batch.last_seq
        if batch.entries:
            await self._write(batch.rows)
            for seq, kind, start_ms in batch.entries:
                self._touch(kind, start_ms, seq)
            self._copied = batch.entries[-1][0]
            await self._save(self._names[0], self._copied)
        if len(batch.entries) == BATCH_ENTRIES:
            return True  # sums of a backlog are made once, at its end
        return await self._sum(batch.closed_through_ms)

    async def _sum(self, through_ms: int) -> bool:
        """Make the sums that are due."""
        due = self._spans.due(self._clock.monotonic(), through_ms)
        for number, (item, _) in enumerate(due):
            try:
                rows = await self._in_thread(partial(self._maker.sums, item))
                await self._write(rows)
            except BaseException:
                self._spans.back(due[number:])
                raise
        passed = self._spans.passed(self._copied)
        if passed > self._summed:
            await self._save(self._names[1], passed)
            self._summed = passed
        return bool(due)

    async def _write(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        result = await self._store.write(rows)
        self.points += result.written
        self.refused += len(result.rejected)
        for row, reason in result.rejected[:1]:
            _log.error("copy of the ledger: %s is refused: %s", row.measurement, reason)

    async def finish(self) -> None:
        """Copy and sum all that the ledger holds, without regard to how often: for batch work.

        Raises:
            StoreUnavailable, StoreRefused: the store did not take it.
        """
        await self._store.start()
        while await self.advance() or self.lag_entries:
            pass
        while len(self._spans):
            self._spans.hurry()
            await self._sum(self._clock.now_ms())
