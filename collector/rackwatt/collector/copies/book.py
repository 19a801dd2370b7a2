# SPDX-License-Identifier: Apache-2.0
"""The ledger as its copy sees it: read-only, beside the one who writes it."""

from collections.abc import Iterator

from rackwatt.collector.ledger.chain import Entry
from rackwatt.collector.ledger.reading import LedgerReader


class Book(LedgerReader):
    """A reader of `ledger.db`. Belongs to one thread.

    Args:
        path: the file, which must exist.

    Raises:
        OlderLedger: it must be brought over first.
        sqlite3.Error: it cannot be read.
    """

    def newest_seq(self) -> int:
        """The number of the newest entry, which another process may have written; 0 without any."""
        found = self._db.execute("SELECT max(seq) FROM journal").fetchone()
        return int(found[0] or 0)

    def touched(self, after_seq: int, through_seq: int) -> Iterator[tuple[int, str, int]]:
        """Number, kind and start of entries, without their rows."""
        yield from self._db.execute(
            "SELECT seq, kind, start_ms FROM journal WHERE seq > ? AND seq <= ? ORDER BY seq",
            (after_seq, through_seq),
        )

    def revised_quarters(self, after_seq: int, through_seq: int) -> list[Entry]:
        """Later revisions of attributions among entries."""
        rows = self._db.execute(
            "SELECT seq, kind, start_ms, revision, cause, author, row FROM journal"
            " WHERE seq > ? AND seq <= ? AND kind = 'attribution' AND revision > 1 ORDER BY seq",
            (after_seq, through_seq),
        )
        return [Entry(*row) for row in rows]

    def text_before(self, entry: Entry) -> str | None:
        """The row of the revision before an entry's."""
        found = self._db.execute(
            "SELECT row FROM journal WHERE kind = ? AND start_ms = ? AND revision = ?",
            (entry.kind, entry.start_ms, entry.revision - 1),
        ).fetchone()
        return None if found is None else str(found[0])

    def quarters(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, str]]:
        """The latest attributions of a half-open span in order: number and row, unread."""
        yield from self._db.execute(
            "SELECT j.seq, j.row FROM latest AS l JOIN journal AS j USING (seq)"
            " WHERE l.kind = 'attribution' AND l.start_ms >= ? AND l.start_ms < ?"
            " ORDER BY l.start_ms",
            (start_ms, end_ms),
        )

    def newest_quarter(self, start_ms: int, end_ms: int) -> int:
        """The number of the newest attribution of a half-open span; 0 without any."""
        found = self._db.execute(
            "SELECT max(seq) FROM latest"
            " WHERE kind = 'attribution' AND start_ms >= ? AND start_ms < ?",
            (start_ms, end_ms),
        ).fetchone()
        return int(found[0] or 0)
