# SPDX-License-Identifier: Apache-2.0
"""Reading the spool a batch ahead, while the one before is decoded and written."""

import asyncio
from typing import Final

from rackwatt.collector.ingest.spool import Record, Spool

BATCH_BYTES: Final = 8_000_000
"""Of payload: decoded it takes some ten times as much memory."""


class ReadAhead:
    """Reads batches of a spool, one after the other.

    Characteristics: where a whole batch more waits, as after an outage, it is read meanwhile, so
    that at most two are in memory as they were received; live, nothing is. A batch other than the
    expected one is read anew. For one reader, on one event loop.

    Args:
        spool: where messages come from.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._next: tuple[tuple[int, int], asyncio.Task[list[Record]]] | None = None

    async def read(self, after: int, limit: int) -> list[Record]:
        """Up to `limit` messages with an id above `after`, in order.

        Raises:
            sqlite3.Error: the spool cannot be read.
        """
        ahead, self._next = self._next, None
        if ahead is not None and ahead[0] == (after, limit):
            records = await ahead[1]
        else:
            records = await self._spool.read(after, limit, BATCH_BYTES)
        if records and self._spool.last_id - records[-1].id >= limit:
            last = records[-1].id
            task = asyncio.create_task(
                self._spool.read(last, limit, BATCH_BYTES), name="drain-read-ahead"
            )
            task.add_done_callback(_seen)
            self._next = (last, limit), task
        return records

    def close(self) -> None:
        """Wait for nothing more."""
        if self._next is not None:
            self._next[1].cancel()
            self._next = None


def _seen(task: asyncio.Task[list[Record]]) -> None:
    """What a batch failed with that nobody asks for is nobody's concern."""
    if not task.cancelled():
        task.exception()
