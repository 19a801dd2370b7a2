# SPDX-License-Identifier: Apache-2.0
"""Reading a ledger, also while an accountant writes to it."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from zoneinfo import ZoneInfo

from rackwatt.collector.ledger.bases import Bases
from rackwatt.collector.ledger.by_meter import TOPOLOGY
from rackwatt.collector.ledger.chain import Act, Entry
from rackwatt.collector.ledger.dirty import Dirty
from rackwatt.collector.ledger.held import Held, HeldReadings
from rackwatt.collector.ledger.journal import Journal, LedgerRow
from rackwatt.collector.ledger.meta import CLOSED, COMPACTED, FINAL, FIRST, RESTATEMENTS, Meta
from rackwatt.collector.ledger.months import OUTBOX_RETENTION_MS, Asked, Gap, Month, Months
from rackwatt.collector.ledger.schema import VERSION, schema_version
from rackwatt.wire.database import connect


class OlderLedger(RuntimeError):  # noqa: N818 - a state of the file
    """The file is of an earlier version: an accountant or a command that writes brings it over."""


class Books:
    """What can be read of a ledger.

    Args:
        connection: The ledger's.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._meta = Meta(connection)
        self._journal = Journal(connection)
        self._held = HeldReadings(connection)
        self._dirty = Dirty(connection, self._meta)
        self._months = Months(connection, self._journal, self._dirty, self._held)

    def cursor(self, name: str = "spool") -> int | None:
        """The cursor of the last readings taken in, ``None`` before the first."""
        found = self._db.execute("SELECT id FROM cursors WHERE name = ?", (name,)).fetchone()
        return None if found is None else int(found[0])

    def first_ms(self) -> int | None:
        """The start of the first interval."""
        return self._meta.get(FIRST)

    def closed_through_ms(self) -> int | None:
        """The end of the last closed interval."""
        first, closed = self._meta.get(FIRST), self._meta.get(CLOSED)
        return closed if first is not None and closed is not None and closed > first else None

    def final_through_ms(self) -> int | None:
        """The end of the last final month."""
        return self._meta.get(FINAL)

    def compacted_through_ms(self) -> int | None:
        """Before that, inputs are compacted, and late data is held."""
        return self._meta.get(COMPACTED)

    def rows(self, start_ms: int, end_ms: int) -> Iterator[LedgerRow]:
        """The latest revisions of the intervals that start in a half-open span, in order."""
        return self._journal.latest(start_ms, end_ms)

    def revisions(self, start_ms: int) -> list[LedgerRow]:
        """All revisions of the interval that starts then, oldest first."""
        return self._journal.revisions(start_ms)

    def attributions(self, start_ms: int, end_ms: int) -> dict[int, str]:
        """The latest attribution of the quarter hours that start in a half-open span, as JSON."""
        shown = self._journal.shown("attribution", start_ms, end_ms)
        return {start: one.text for start, one in shown.items()}

    def meters(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, str | None]]:
        """Start and meters' energies of the quarter hours of a half-open span, as JSON.

        ``None`` where one does not say, or whose meters changed within it.
        """
        yield from self._db.execute(
            "SELECT l.start_ms, iif(instr(json_extract(j.row, '$.flags'), ?), NULL,"
            " json_extract(j.row, '$.meters'))"
            " FROM latest AS l JOIN journal AS j USING (seq)"
            " WHERE l.kind = 'attribution' AND l.start_ms >= ? AND l.start_ms < ?"
            " ORDER BY l.start_ms",
            (f'"{TOPOLOGY}"', start_ms, end_ms),
        )

    def entries(self, after_seq: int, limit: int) -> list[Entry]:
        """Entries of all kinds that follow one in the chain."""
        return self._journal.entries(after_seq, limit)

    def acts(self, name: str | None = None) -> list[Act]:
        """All decisions, or those of one name, oldest first."""
        return self._journal.acts(name)

    def held(self) -> list[Held]:
        """What is held, by agent and device."""
        return self._held.summary()

    def months(
        self,
        zone: ZoneInfo,
        gaps: Sequence[Gap] = (),
        *,
        now_ms: int,
        retention_ms: int = OUTBOX_RETENTION_MS,
    ) -> list[Month]:
        """The months of the site's calendar, and what keeps each from being final.

        Args:
            zone: The site's time zone.
            gaps: Messages that are missing.
            now_ms: The present, ms since 1970 UTC.
            retention_ms: How long agents keep what they have sent.
        """
        return self._months.months(Asked(now_ms, zone, gaps, retention_ms))

    def restatements(self) -> int:
        """How many revisions late data and decisions have caused so far."""
        return self._meta.get(RESTATEMENTS) or 0

    def waiting(self) -> int:
        """How many intervals wait to be booked again."""
        return int(self._db.execute("SELECT count(*) FROM dirty").fetchone()[0])

    def events(self, start_ms: int, end_ms: int) -> list[tuple[int, str, str, str]]:
        """Register events in a half-open span: time, device, field, code."""
        return self._db.execute(
            "SELECT time_ms, device, field, code FROM events"
            " WHERE time_ms >= ? AND time_ms < ? ORDER BY time_ms, device, field",
            (start_ms, end_ms),
        ).fetchall()

    def bases(self) -> Bases:
        """By what rows were booked, oldest first."""
        return Bases(self._db)

    def head(self) -> str:
        """The hash of the last journal entry."""
        return self._journal.head()

    def head_seq(self) -> int:
        """The number of the last journal entry, 0 before the first."""
        return self._journal.head_seq()

    def verify(self) -> int | None:
        """Check the journal's hash chain; the first broken entry, or ``None``."""
        return self._journal.verify()


def _check(connection: sqlite3.Connection, path: Path) -> None:
    version = schema_version(connection)
    if version == 0:
        raise OlderLedger(f"{path} is no ledger: it holds no books")
    if version != VERSION:
        raise OlderLedger(
            f"{path} has version {version}, this program reads version {VERSION}: "
            "start an accountant of this release on it once"
        )


class LedgerReader(Books):
    """A ledger that is opened for reading only.

    Args:
        path: The file.

    Raises:
        OlderLedger: It must be brought over first.
        sqlite3.Error: It is no ledger or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        connection = connect(path, read_only=True)
        try:
            _check(connection, path)
            super().__init__(connection)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()
