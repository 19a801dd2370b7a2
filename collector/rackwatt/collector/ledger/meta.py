# SPDX-License-Identifier: Apache-2.0
"""The few numbers that the ledger keeps beside its tables."""

import sqlite3
from typing import Final

FIRST: Final = "first"
"""Start of the first interval."""
CLOSED: Final = "closed"
"""End of the last closed interval, or where the first one will begin."""
RESTATEMENTS: Final = "restatements"
FINAL: Final = "final"
"""End of the last final month: nothing before it is booked again."""
COMPACTED: Final = "compacted"
"""Inputs before it are being compacted: nothing before it is booked from inputs again."""


class Meta:
    """Named integers, inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def get(self, name: str) -> int | None:
        """Return a number, ``None`` if it was never set."""
        found = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if found is None else int(found[0])

    def set(self, name: str, value: int) -> None:
        """Keep a number."""
        self._db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def floor(self) -> int:
        """Return where the part of the books begins that late data may still change."""
        return max(self.get(FINAL) or 0, self.get(COMPACTED) or 0)
