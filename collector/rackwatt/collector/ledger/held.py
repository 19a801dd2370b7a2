# SPDX-License-Identifier: Apache-2.0
"""Readings that are kept without being booked, because their time cannot be trusted."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rackwatt.collector.accounting.channels import BOOKED_FIELDS
from rackwatt.collector.ledger.records import InputRecord


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of one device.

    Attributes:
        agent: Whose clock it waits for; empty if it is not known.
        device: The device.
        readings: How many.
        first_ms: The first one's own time.
        last_ms: The last one's own time.
    """

    agent: str
    device: str
    readings: int
    first_ms: int
    last_ms: int


class HeldReadings:
    """The readings that wait for a release, inside the caller's transaction.

    They have a table of their own: nothing that is booked can come from it by accident.

    Args:
        connection: The ledger's.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._devices: set[str] = set()
        self.forget()

    def forget(self) -> None:
        """Read again of which devices there is something."""
        self._devices = {row[0] for row in self._db.execute("SELECT DISTINCT device FROM held")}

    def hold(self, records: Iterable[InputRecord]) -> None:
        """Keep what the books could use; of two values for one place the greater one."""
        rows = [
            (record.device, record.agent, record.time_ms, field, value, record.received_ms)
            for record in records
            for field, value in record.values.items()
            if value is not None and field in BOOKED_FIELDS
        ]
        self._db.executemany(
            "INSERT INTO held VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET value = excluded.value WHERE excluded.value > value",
            rows,
        )
        self._devices |= {row[0] for row in rows}

    @property
    def any(self) -> bool:
        """Whether something is held."""
        return bool(self._devices)

    def of(self, device: str) -> bool:
        """Whether something of a device is held."""
        return device in self._devices

    def is_copy(self, record: InputRecord) -> bool:
        """Whether a reading is a held one that was sent again, its clock being right by now."""
        if record.device not in self._devices:
            return False
        known = dict(
            self._db.execute(
                "SELECT field, value FROM held WHERE device = ?1 AND time_ms = ?3"
                " AND (?2 = '' OR agent IN (?2, ''))",
                (record.device, record.agent, record.time_ms),
            ).fetchall()
        )
        values = {
            field: value
            for field, value in record.values.items()
            if value is not None and field in BOOKED_FIELDS
        }
        # A device of two kinds says two things at one time.
        return bool(values) and values.items() <= known.items()

    def summary(self) -> list[Held]:
        """What is held, by agent and device."""
        rows = self._db.execute(
            "SELECT agent, device, count(DISTINCT time_ms), min(time_ms), max(time_ms)"
            " FROM held GROUP BY agent, device ORDER BY agent, device"
        )
        return [Held(*row) for row in rows]

    def agents(self, start_ms: int, end_ms: int) -> list[str]:
        """Agents of whom readings of a half-open span are held."""
        rows = self._db.execute(
            "SELECT DISTINCT agent FROM held WHERE time_ms >= ? AND time_ms < ? ORDER BY agent",
            (start_ms, end_ms),
        )
        return [str(row[0]) for row in rows]

    def take(self, agent: str, start_ms: int, end_ms: int) -> Sequence[InputRecord]:
        """Take an agent's readings of a half-open span out, in the order of device and time."""
        rows = self._db.execute(
            "DELETE FROM held WHERE agent = ? AND time_ms >= ? AND time_ms < ?"
            " RETURNING device, time_ms, received_ms, field, value",
            (agent, start_ms, end_ms),
        ).fetchall()
        found: list[InputRecord] = []
        for (device, time_ms), group in groupby(sorted(rows), key=lambda row: (row[0], row[1])):
            parts = list(group)
            values = {field: value for *_, field, value in parts}
            found.append(InputRecord(device, time_ms, values, parts[0][2], agent=agent))
        self.forget()
        return found
