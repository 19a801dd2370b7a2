# SPDX-License-Identifier: Apache-2.0
"""The inputs: readings as they came, and which closed intervals a late one touches."""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from rackwatt.collector.accounting.channels import (
    BOOKED_FIELDS,
    CHANNELS,
    FORWARD,
    OUTPUT,
    POWER_FIELDS,
    REVERSE,
    UTILITIES,
)
from rackwatt.collector.accounting.power import Point, Reading
from rackwatt.collector.accounting.registers import RegisterSpec
from rackwatt.collector.accounting.vocabulary import HOUR_MS
from rackwatt.collector.ledger.records import InputRecord

_PARTNER: Final = {channel.power: channel.energy for channel in (*CHANNELS, *UTILITIES)}
_OPTIONAL: Final = frozenset(
    name for channel in (REVERSE, OUTPUT) for name in (channel.power, channel.energy)
)
"""Fields that decide, once seen, whether a meter has a term at all."""

_PUT: Final = """
INSERT INTO inputs VALUES (?, ?, ?) ON CONFLICT DO UPDATE
  SET value = excluded.value WHERE excluded.value > value
"""

_SPAN: Final = """
SELECT time_ms, value FROM inputs WHERE series = ?1
  AND time_ms >= coalesce(
    (SELECT max(time_ms) FROM inputs WHERE series = ?1 AND time_ms <= ?2), ?2)
  AND time_ms <= coalesce(
    (SELECT min(time_ms) FROM inputs WHERE series = ?1 AND time_ms >= ?3), ?3)
  ORDER BY time_ms
"""

LOOK_BACK_MS: Final = 2 * HOUR_MS
"""So far back reaches what is learned of a register: readings may be here before it is."""


@dataclass(frozen=True, slots=True)
class Touched:
    """A span of time whose intervals must be booked again, both ends included."""

    low_ms: int
    high_ms: int
    whole_hours: bool = False
    everything: bool = False


class Inputs:
    """Readings in the ledger's database, inside the caller's transaction.

    Characteristics: one connection, one thread; remembers the newest time of each series, and
    must be told by :meth:`forget` when a transaction was rolled back.

    Args:
        connection: The ledger's.
        cadence: How often a device is read at a time, ms.
        children: Which devices' gaps take their shape from a device at a time.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        cadence: Callable[[str, int], int],
        children: Callable[[str, int], Collection[str]],
    ) -> None:
        self._db = connection
        self._cadence = cadence
        self._children = children
        self._ids: dict[tuple[str, str], int] = {}
        self._newest: dict[int, int] = {}
        self._specs: dict[tuple[str, str], list[tuple[int, tuple[float | None, float | None]]]] = {}
        self._waiting: list[tuple[int, int, float]] = []
        """Values that only need to be written."""
        self.version = 0
        """Another one whenever what was measured may have changed."""
        self.forget()

    def forget(self) -> None:
        """Read again what is remembered."""
        self.version += 1
        self._waiting.clear()
        rows = self._db.execute("SELECT device, field, id FROM series")
        self._ids = {(device, field): number for device, field, number in rows}
        self._newest = {}
        for number in self._ids.values():
            newest = self._db.execute(
                "SELECT time_ms FROM inputs WHERE series = ? ORDER BY time_ms DESC LIMIT 1",
                (number,),
            ).fetchone()
            if newest is not None:
                self._newest[number] = newest[0]
        self._specs = {}
        for device, field, since, modulus, step in self._db.execute(
            "SELECT device, field, since_ms, modulus, resolution FROM registers ORDER BY since_ms"
        ):
            self._specs.setdefault((device, field), []).append((since, (modulus, step)))

    def knows(self, device: str, field: str) -> bool:
        """Whether a device has ever reported a field with a booked value."""
        return self._ids.get((device, field)) in self._newest

    def devices(self, field: str) -> list[str]:
        """The devices that have ever reported a field with a booked value."""
        return [name for name, own in self._ids if own == field and self.knows(name, own)]

    def set_spec(
        self,
        device: str,
        field: str,
        spec: tuple[float | None, float | None],
        time_ms: int,
    ) -> int | None:
        """Note what is known of a register: its modulus and resolution, Wh.

        What is known first holds for the past too; what is known later holds from the hour of
        ``time_ms`` less a look back on.

        Returns:
            Since when it holds, ``None`` if it is nothing new.
        """
        known = self._specs.get((device, field), [])
        since = max(time_ms - LOOK_BACK_MS, 0) // HOUR_MS * HOUR_MS if known else 0
        if known and self._spec_at(device, field, since) == spec:
            return None
        self.version += 1
        self._db.execute(
            "INSERT OR REPLACE INTO registers VALUES (?, ?, ?, ?, ?)",
            (device, field, since, *spec),
        )
        kept = [one for one in known if one[0] != since]
        self._specs[device, field] = sorted([*kept, (since, spec)], key=itemgetter(0))
        return since

    def _spec_at(self, device: str, field: str, time_ms: int) -> tuple[float | None, float | None]:
        found: tuple[float | None, float | None] = (None, None)
        for since, spec in self._specs.get((device, field), ()):
            if since <= time_ms:
                found = spec
        return found

    def set_serial(self, device: str, serial: str, time_ms: int) -> str | None:
        """Note a device's serial number; return the one before if the device was replaced."""
        found = self._db.execute(
            "SELECT serial FROM serials WHERE device = ?", (device,)
        ).fetchone()
        if not serial or (found is not None and found[0] == serial):
            return None
        self._db.execute(
            "INSERT INTO serials VALUES (?, ?) ON CONFLICT DO UPDATE SET serial = excluded.serial",
            (device, serial),
        )
        if found is None:
            return None
        self.version += 1
        self._db.execute(
            "INSERT OR IGNORE INTO swaps VALUES (?, ?, ?, ?)", (device, time_ms, found[0], serial)
        )
        return str(found[0])

    def spec(self, device: str, field: str, cadence_ms: int, time_ms: int) -> RegisterSpec:
        """What is known of a register, as it holds at a time."""
        modulus, resolution = self._spec_at(device, field, time_ms)
        return RegisterSpec(cadence_ms, modulus, resolution)

    def add(self, record: InputRecord, closed_ms: int) -> list[Touched]:
        """Keep a record's values; return what they touch before ``closed_ms``.

        They are read again only after :meth:`flush`.

        A value that is there already changes nothing. Should two values claim the same place, the
        greater one stays, so that the order of arrival cannot decide.
        """
        self.version += 1
        touched: list[Touched] = []
        device, time_ms = record.device, record.time_ms
        for field, value in record.values.items():
            if value is None or field not in BOOKED_FIELDS:
                continue
            series = self._series(device, field)
            newest = self._newest.get(series)
            if newest is not None and newest >= closed_ms <= time_ms:
                # Nearly all of them come for what is open, and touch nothing that is closed.
                self._waiting.append((series, time_ms, value))
                if time_ms > newest:
                    self._newest[series] = time_ms
                continue
            self.flush()
            if not self._put(series, time_ms, value):
                continue
            if newest is None or time_ms > newest:
                self._newest[series] = time_ms
            if newest is None and field in _OPTIONAL:
                touched.append(Touched(time_ms, time_ms, everything=True))
            elif newest is None or newest < closed_ms or time_ms < closed_ms:
                touched += self._touched(device, field, series, time_ms)
        return touched

    def flush(self) -> None:
        """Write what :meth:`add` has only taken in."""
        if self._waiting:
            self._db.executemany(_PUT, self._waiting)
            self._waiting.clear()

    def _put(self, series: int, time_ms: int, value: float) -> bool:
        """Put a value into its place; say whether the books may change."""
        return self._db.execute(_PUT, (series, time_ms, value)).rowcount > 0

    def _series(self, device: str, field: str) -> int:
        number = self._ids.get((device, field))
        if number is None:
            cursor = self._db.execute(
                "INSERT INTO series (device, field) VALUES (?, ?)", (device, field)
            )
            number = self._ids[device, field] = int(cursor.lastrowid or 0)
        return number

    def _touched(self, device: str, field: str, series: int, time_ms: int) -> Iterator[Touched]:
        """Intervals between the neighbouring readings, and what their energy depends on."""
        reach = 2 * self._cadence(device, time_ms)
        low = self._before(series, time_ms - 1)
        high = self._after(series, time_ms + 1)
        first = time_ms - reach if low is None else low
        last = time_ms + reach if high is None else high
        if field == FORWARD.power:
            yield from self._gaps_below(device, first, last)
        partner = _PARTNER.get(field)
        register = device, partner or field
        if partner is not None and register in self._ids:
            # Power shapes the register step around it, and tells what the next one can be.
            step = self._ids[register]
            first = min(first, _either(self._before(step, first), first))
            last = max(last, _either(self._after(step, last + reach), last + reach))
        coarse = self._spec_at(*register, time_ms)[1] is not None
        yield Touched(first, last, whole_hours=coarse)

    def _gaps_below(self, device: str, first: int, last: int) -> Iterator[Touched]:
        """Gaps of the meters below one, which take their shape from its power."""
        for child in self._children(device, first):
            register = child, FORWARD.energy
            step = self._ids.get(register)
            if step is None:
                continue
            low, high = self._before(step, first), self._after(step, last)
            if low is not None and high is not None:
                coarse = self._spec_at(*register, first)[1] is not None
                if high - low > 2 * self._cadence(child, first):
                    yield Touched(low, high, whole_hours=coarse)

    def _before(self, series: int, time_ms: int) -> int | None:
        found = self._db.execute(
            "SELECT time_ms FROM inputs WHERE series = ? AND time_ms <= ?"
            " ORDER BY time_ms DESC LIMIT 1",
            (series, time_ms),
        ).fetchone()
        return None if found is None else int(found[0])

    def _after(self, series: int, time_ms: int) -> int | None:
        found = self._db.execute(
            "SELECT time_ms FROM inputs WHERE series = ? AND time_ms >= ? ORDER BY time_ms LIMIT 1",
            (series, time_ms),
        ).fetchone()
        return None if found is None else int(found[0])

    def readings(self, device: str, field: str, low_ms: int, high_ms: int) -> list[Reading]:
        """The readings of a span, with the nearest one at or before and at or after it."""
        return [Reading(*point) for point in self.points(device, field, low_ms, high_ms)]

    def points(self, device: str, field: str, low_ms: int, high_ms: int) -> list[Point]:
        """What :meth:`readings` returns, as the database gives it: times and values."""
        series = self._ids.get((device, field))
        if series is None:
            return []
        return self._db.execute(_SPAN, (series, low_ms, high_ms)).fetchall()

    def swaps(self, device: str) -> list[int]:
        """When a device was replaced."""
        rows = self._db.execute("SELECT time_ms FROM swaps WHERE device = ?", (device,))
        return [int(row[0]) for row in rows]

    def earliest(self, records: Iterable[InputRecord]) -> int | None:
        """The earliest time of the records that hold power or energy to book, if any."""
        return min((record.time_ms for record in records if _books(record)), default=None)


def _books(record: InputRecord) -> bool:
    return any(
        value is not None and field in POWER_FIELDS for field, value in record.values.items()
    )


def _either(found: int | None, other: int) -> int:
    return other if found is None else found
