# SPDX-License-Identifier: Apache-2.0
"""What live figures need of the ledger after a restart: the newest inputs, read-only."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rackwatt.wire.database import connect


def recent_inputs(path: Path, since_ms: int) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Booked readings from an instant on, in order of time: device, time in ms, values.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    query = (
        "SELECT inputs.time_ms, series.device, series.field, inputs.value FROM series "
        "JOIN inputs ON inputs.series = series.id "
        "WHERE inputs.time_ms >= ? AND inputs.held = 0 ORDER BY inputs.time_ms, series.device"
    )
    connection = connect(path, read_only=True)
    try:
        rows = connection.execute(query, (since_ms,))
        for (time_ms, device), group in groupby(rows, key=lambda row: (row[0], row[1])):
            yield device, time_ms, {field: value for _, _, field, value in group}
    finally:
        connection.close()


def register_specs(path: Path) -> list[tuple[str, str, float | None, float | None]]:
    """Every register that is known: device, field, modulus and resolution in Wh.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    connection = connect(path, read_only=True)
    try:
        return connection.execute(
            "SELECT device, field, modulus, resolution FROM registers"
        ).fetchall()
    finally:
        connection.close()
