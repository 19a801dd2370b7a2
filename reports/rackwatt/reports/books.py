# SPDX-License-Identifier: Apache-2.0
"""A ledger as it stood at one entry of its journal: what came later is not seen."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rackwatt.collector.ledger.chain import ATTRIBUTION, INTERVAL, Act, parsed
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.ledger.reading import LedgerReader

_NEWEST: Final = (
    " FROM journal WHERE seq IN (SELECT max(seq) FROM journal WHERE kind = ?1"
    " AND start_ms >= ?2 AND start_ms < ?3 AND seq <= ?4 GROUP BY start_ms) ORDER BY start_ms"
)
_ROWS: Final = "SELECT start_ms, revision, cause, row, seq, author" + _NEWEST
_QUARTERS: Final = "SELECT seq, start_ms, row" + _NEWEST


class BooksAt(LedgerReader):
    """A ledger, read as of one entry and in one snapshot.

    Characteristics: while it is open nothing that an accountant writes shows.

    Args:
        path: The file.
        entry: The last entry that counts; ``None``: all there is.

    Raises:
        OlderLedger: It must be brought over first.
        sqlite3.Error: It is no ledger or cannot be read.
    """

    def __init__(self, path: Path, entry: int | None = None) -> None:
        super().__init__(path)
        self.path = path
        self._db.execute("BEGIN")
        self.end = self.head_seq()
        self.entry = self.end if entry is None else entry

    def rows(self, start_ms: int, end_ms: int) -> Iterator[LedgerRow]:
        """The latest revisions of then, in order."""
        if self.entry >= self.end:
            yield from super().rows(start_ms, end_ms)
            return
        span = (INTERVAL, start_ms, end_ms, self.entry)
        for start, revision, cause, text, seq, author in self._db.execute(_ROWS, span):
            yield LedgerRow(start, revision, cause, text, parsed(text), seq, author)

    def quarters(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, int, str]]:
        """Entry, start and row of the quarter hours as they were attributed then."""
        yield from self._db.execute(_QUARTERS, (ATTRIBUTION, start_ms, end_ms, self.entry))

    def acts(self, name: str | None = None) -> list[Act]:
        """All decisions of until then, or those of one name, oldest first."""
        return [act for act in super().acts(name) if act.seq <= self.entry]

    def hash_at(self, entry: int) -> str | None:
        """The hash of an entry; ``None`` where there is none of that number."""
        found = self._db.execute("SELECT hash FROM journal WHERE seq = ?", (entry,)).fetchone()
        return None if found is None else str(found[0])

    def restated_since(self, start_ms: int, end_ms: int) -> list[tuple[int, int, str, str]]:
        """Start, revision, cause and author of the period's rows that came after that entry."""
        return self._db.execute(
            "SELECT start_ms, revision, cause, author FROM journal WHERE kind = ?"
            " AND start_ms >= ? AND start_ms < ? AND seq > ? ORDER BY seq",
            (INTERVAL, start_ms, end_ms, self.entry),
        ).fetchall()
