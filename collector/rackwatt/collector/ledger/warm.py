# SPDX-License-Identifier: Apache-2.0
"""What live figures need of the ledger after a restart: the newest inputs, read-only."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rackwatt.wire.database import connect
from rackwatt.wire.inventory import Register


def recent_inputs(path: Path, since_ms: int) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Booked readings from an instant on, in order of time: device, time in ms, values.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    query = (
        "SELECT inputs.time_ms, series.device, series.field, inputs.value FROM series "
        "JOIN inputs ON inputs.series = series.id "
        "WHERE inputs.time_ms >= ? ORDER BY inputs.time_ms, series.device"
    )
    connection = connect(path, read_only=True)
    try:
        rows = connection.execute(query, (since_ms,))
        for (time_ms, device), group in groupby(rows, key=lambda row: (row[0], row[1])):
            yield device, time_ms, {field: value for _, _, field, value in group}
    finally:
        connection.close()


def register_specs(path: Path) -> dict[str, dict[str, Register]]:
    """Every register that is known, by device and field.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    found: dict[str, dict[str, Register]] = {}
    connection = connect(path, read_only=True)
    try:
        query = "SELECT device, field, modulus, resolution FROM registers ORDER BY since_ms"
        for device, field, modulus, resolution in connection.execute(query):
            register = Register(modulus_watt_hours=modulus, resolution_watt_hours=resolution)
            found.setdefault(device, {})[field] = register
    finally:
        connection.close()
    return found
