# SPDX-License-Identifier: Apache-2.0
"""Samples of conditions: air temperatures, humidity and GPUs' utilisation, never every reading.

Of each probe the first reading of each minute is kept, of each GPU the first one of one minute an
hour, a minute of its own: with so many GPUs and hours a mean needs no more. The first by the
reading's own time, so that the order of arrival and repetitions cannot matter. Readings of a clock
that is off are not taken, and a release does not bring them.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple
from zlib import crc32

from rackwatt.collector.accounting.vocabulary import HOUR_MS
from rackwatt.collector.ledger.records import FUTURE_MS, INTERVAL_MS, RETENTION_MS

QUARTER_MS: Final = 15 * INTERVAL_MS

CELSIUS: Final = "temperature_celsius"
HUMIDITY: Final = "humidity_ratio"
UTILIZATION: Final = "utilization_ratio"

SAMPLES_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS probes (
  id INTEGER PRIMARY KEY, device TEXT NOT NULL, field TEXT NOT NULL, UNIQUE (device, field));
CREATE TABLE IF NOT EXISTS samples (
  quarter_ms INTEGER NOT NULL, probe INTEGER NOT NULL, minute INTEGER NOT NULL,
  time_ms INTEGER NOT NULL, value REAL NOT NULL,
  PRIMARY KEY (quarter_ms, probe, minute)) WITHOUT ROWID;
"""

_UPSERT: Final = """
INSERT INTO samples VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
  time_ms = excluded.time_ms, value = excluded.value
  WHERE excluded.time_ms < time_ms OR (excluded.time_ms = time_ms AND excluded.value > value)
"""
_MINUTES: Final = HOUR_MS // INTERVAL_MS
_STRIDE: Final = 37
_QUARTERS_AT_ONCE: Final = 8


def own_minute(device: str, time_ms: int) -> bool:
    """Whether a GPU is looked at in the minute of a time.

    Which minute of the hour that is follows from its name, and moves on from hour to hour through
    all of them, so that what happens at the same minute of each hour is not seen always or never.
    """
    wanted = (crc32(device.encode()) + _STRIDE * (time_ms // HOUR_MS)) % _MINUTES
    return time_ms // INTERVAL_MS % _MINUTES == wanted


class SampleRecord(NamedTuple):
    """One value of one probe or GPU.

    Attributes:
        device: Its name on the wire.
        field: What it measures, as on the wire.
        time_ms: The reading's own time.
        value: In the field's unit.
        received_ms: When the collector received it.
        trusted: ``False`` while the agent's clock is off.
    """

    device: str
    field: str
    time_ms: int
    value: float
    received_ms: int
    trusted: bool = True

    @property
    def counts(self) -> bool:
        """Whether its time can be believed."""
        return self.trusted and -RETENTION_MS <= self.time_ms - self.received_ms <= FUTURE_MS


class Sample(NamedTuple):
    """What is kept of a minute."""

    device: str
    field: str
    minute: int
    """Of the quarter hour, 0..14."""
    time_ms: int
    value: float


class Samples:
    """Samples in the ledger's database, inside the caller's transaction.

    Characteristics: one connection, one thread; remembers each probe's newest minute, so that most
    readings cost no statement, and must be told by :meth:`forget` when a transaction was rolled
    back. One value a minute of a probe: some 25 bytes.

    Args:
        connection: The ledger's, with :data:`SAMPLES_SCHEMA`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._ids: dict[tuple[str, str], int] = {}
        self._newest: dict[int, int] = {}
        """Time of each probe's newest sample."""
        self.forget()

    def forget(self) -> None:
        """Read again what is remembered."""
        rows = self._db.execute("SELECT device, field, id FROM probes")
        self._ids = {(device, field): number for device, field, number in rows}
        self._newest = {}

    def add(self, records: Iterable[SampleRecord], floor_ms: int) -> set[int]:
        """Take values in; return the starts of the quarter hours whose samples may change.

        Args:
            records: In any order, repeated or not.
            floor_ms: What is older stays as it was booked.
        """
        rows: list[tuple[int, int, int, int, float]] = []
        newest = self._newest
        for record in records:
            device, field, at, value = record[:4]
            if at < floor_ms or not record.counts:
                continue
            probe = self._ids.get((device, field)) or self._enter(device, field)
            last = newest.get(probe, -1)
            same = at // INTERVAL_MS == last // INTERVAL_MS
            if same and at > last:
                continue  # an earlier one of its minute is there
            newest[probe] = at if same else max(last, at)
            minute = at % QUARTER_MS // INTERVAL_MS
            rows.append((at - at % QUARTER_MS, probe, minute, at, value))
        self._db.executemany(_UPSERT, rows)
        return {row[0] for row in rows}

    def _enter(self, device: str, field: str) -> int:
        cursor = self._db.execute("INSERT INTO probes (device, field) VALUES (?, ?)",
                                  (device, field))  # fmt: skip
        found = self._ids[device, field] = int(cursor.lastrowid or 0)
        return found

    def compact(self, before_ms: int) -> int:
        """Drop some quarter hours that end before an instant; return how many samples went."""
        deleted = 0
        for _ in range(_QUARTERS_AT_ONCE):
            first = self._db.execute("SELECT min(quarter_ms) FROM samples").fetchone()[0]
            if first is None or first + QUARTER_MS > before_ms:
                break
            gone = self._db.execute("DELETE FROM samples WHERE quarter_ms = ?", (first,))
            deleted += gone.rowcount
        return deleted

    def between(self, start_ms: int, end_ms: int) -> Iterator[Sample]:
        """What is kept of the minutes of a span within one quarter hour."""
        quarter = start_ms - start_ms % QUARTER_MS
        names = {number: name for name, number in self._ids.items()}
        for probe, minute, time_ms, value in self._db.execute(
            "SELECT probe, minute, time_ms, value FROM samples WHERE quarter_ms = ?", (quarter,)
        ):
            if start_ms <= quarter + minute * INTERVAL_MS < end_ms:
                yield Sample(*names[probe], minute, time_ms, value)


def has_samples(connection: sqlite3.Connection) -> bool:
    """Whether a ledger has them: an earlier release made none."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'samples'").fetchone()
    return found is not None
