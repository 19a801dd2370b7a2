# SPDX-License-Identifier: Apache-2.0
"""The ranges of messages that were closed as lost, as the spool's file records them."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rackwatt.wire.database import connect


@dataclass(frozen=True, slots=True)
class LostRange:
    """Messages of an agent that will not come, unless it is found again with its outbox."""

    agent: str
    epoch: int
    low: int
    high: int
    reason: str
    closed_ms: int

    @property
    def count(self) -> int:
        """How many messages."""
        return self.high - self.low + 1


def lost_ranges(
    path: Path, agent: str | None = None, since_ms: int | None = None
) -> list[LostRange]:
    """What was closed as lost, the newest first.

    Args:
        path: the spool's file.
        agent: only this agent's.
        since_ms: only what was closed since then.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    query = (
        "SELECT agent, epoch, low, high, reason, closed_ms FROM losses "
        "WHERE (?1 IS NULL OR agent = ?1) AND (?2 IS NULL OR closed_ms >= ?2) "
        "ORDER BY closed_ms DESC, agent, epoch, low"
    )
    with closing(connect(path, read_only=True)) as db:
        rows: list[sqlite3.Row] = db.execute(query, (agent, since_ms)).fetchall()
    return [LostRange(*row) for row in rows]
