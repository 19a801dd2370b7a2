# SPDX-License-Identifier: Apache-2.0
"""Into the spool, however long it takes: in one go, or in parts where the disk is nearly full."""

import asyncio
import logging
import sqlite3

from rackwatt.collector.ingest.spool import Batch, Spool
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.database import is_full

_log = logging.getLogger(__name__)


async def append(spool: Spool, batch: Batch) -> None:
    """Make a batch durable; returns when all of it is, and only then may it be acknowledged.

    Where the disk has no room for all of it, parts go first, and are read and deleted while the
    rest waits: a batch that needs more room than there will ever be would wait for ever. What
    says that messages are here, the gap watch, goes with the last part.
    """
    backoff = Backoff(first=0.2, cap=5.0)
    while spool.full_ratio >= 1.0:
        _log.error("spool full: no message is taken until its consumers catch up")
        await asyncio.sleep(backoff.next())
    size = _size(batch)
    while True:
        part = _part(batch, size)
        try:
            await spool.append(part)
        except sqlite3.Error as error:
            if is_full(error) and size > 1 and _size(batch) > 1:
                size = max(1, min(size, _size(batch)) // 2)
                continue
            _log.error("spool: %s; nothing is acknowledged meanwhile", error)
            await asyncio.sleep(backoff.next())
        else:
            if part is batch:
                return
            del batch.messages[: len(part.messages)]
            del batch.decoded[: len(part.messages)]
            del batch.deadletters[: len(part.deadletters)]
            size *= 2
            backoff.reset()


def _size(batch: Batch) -> int:
    return len(batch.messages) + len(batch.deadletters)


def _part(batch: Batch, size: int) -> Batch:
    """The first `size` messages, or dead letters; the batch itself where that is all."""
    if size >= _size(batch):
        return batch
    if batch.messages:
        return Batch(messages=batch.messages[:size], decoded=batch.decoded[:size])
    return Batch(deadletters=batch.deadletters[:size])
