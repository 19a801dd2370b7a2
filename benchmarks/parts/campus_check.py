# SPDX-License-Identifier: Apache-2.0
"""Compares what the load generator sent with what the collector counts and the store holds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.parts.campus_system import System
from benchmarks.parts.campus_watch import Metrics, summed
from rackwatt.collector.store.read import READINGS, read

ROWS: Final = {"tray": 4, "rack": 40, "meter": 1}
"""Readings of a message."""
VALUES: Final = {"tray": 80, "rack": 40, "meter": 7}
COUNTED: Final = {
    "gpu": ("power_watts", "tray"),
    "climate": ("temperature_celsius", "rack"),
    "power": ("power_watts", "meter"),
}


def total(sent: Mapping[str, int], each: Mapping[str, int] | None = None) -> int:
    """Messages, or so many of each."""
    return sum(count * (1 if each is None else each[what]) for what, count in sent.items())


def counted(
    sent: Mapping[str, int], metrics: Metrics, states: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What the collectors say of it all."""

    def of(part: str, name: str) -> int:
        return sum(state[part][name] for state in states)

    return {
        "sent": total(sent),
        "received": int(summed(metrics, "rackwatt_messages_total")),
        "missing": total(sent) - int(summed(metrics, "rackwatt_messages_total")),
        "missing_by_gap_watch": of("quality", "missing"),
        "lost": of("quality", "lost"),
        "recovered": of("quality", "recovered"),
        "duplicates": int(summed(metrics, "rackwatt_messages_duplicate_total")),
        "rejected": of("quality", "rejected"),
        "rows_sent": total(sent, ROWS),
        "rows_stored": int(summed(metrics, "rackwatt_store_points_total")),
        "nodes_online": of("nodes", "online"),
    }


def in_store(system: System, record: Mapping[str, Any]) -> dict[str, Any]:
    """What the store itself holds: rows of each kind, and samples value by value."""
    if system.store == "null":
        return {}
    sent: Mapping[str, int] = record["messages"]
    found: dict[str, Any] = {"missing_rows": {}}
    for kind, (name, what) in COUNTED.items():
        expected = sent.get(what, 0) * ROWS[what]
        found["missing_rows"][kind] = expected - _count(system, kind, name)
    different = checked = 0
    for sample in record["samples"]:
        message = sample["message"]
        kind = sample["topic"].rpartition("/")[2]
        reading = message["readings"][-1]
        device = reading.pop("device")
        row = _row(system, kind, device, message["time"])
        different += sum(row.get(name) != value for name, value in reading.items())
        checked += len(reading)
    return found | {"values_compared": checked, "values_different": different}


def _count(system: System, kind: str, name: str) -> int:
    if system.influx is not None:
        return system.influx.count(kind, name, bucket="rackwatt_raw")
    return sum(1 for folder in _folders(system) for _ in read(folder, kind))


def _row(system: System, kind: str, device: str, time_ms: int) -> dict[str, Any]:
    if system.influx is None:
        for folder in _folders(system):
            for row in read(folder, kind, device, time_ms, time_ms + 1):
                return dict(row.fields)
        return {}
    statement = (
        f'SELECT * FROM "{kind}" WHERE "device" = {json.dumps(device)[1:-1]!r}'  # noqa: S608
        f" AND time = {time_ms}ms"
    )
    rows = system.influx.query_influxql(statement, bucket="rackwatt_raw")
    return rows[0] if rows else {}


def _folders(system: System) -> list[Path]:
    return [system.folder / name / READINGS for name in system.collectors]
