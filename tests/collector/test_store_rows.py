# SPDX-License-Identifier: Apache-2.0
"""Readings to rows: tags by place, nulls left out."""

from rackwatt.collector.site import Site, site_of
from rackwatt.collector.store import Row, rows_of
from rackwatt.wire.codec import ReceivedReading
from rackwatt.wire.config import Document
from rackwatt.wire.sample import Event

TEXT = """\
site: {id: demo, timezone: UTC}
halls:
  - id: hall-a
    rows:
      - {id: row-1, racks: r1, nodes: r1-n1, valid_to: 2026-03-01T00:00:00Z}
      - {id: row-2, racks: r2, nodes: r1-n1, valid_from: 2026-03-01T00:00:00Z}
    devices: [cdu-1]
agents: [{name: snmp-a, hall: hall-a}]
"""
CHANGE = 1_772_323_200_000


def site() -> Site:
    return site_of(Document("site.yaml", TEXT))


def test_a_gpu_has_the_tags_of_its_node_at_the_readings_own_time() -> None:
    readings = [
        ReceivedReading("r1-n1/GPU-1", CHANGE - 1, {"power_watts": 700.0, "energy": None}),
        ReceivedReading("r1-n1/GPU-1", CHANGE, {"power_watts": 701.0}),
    ]
    shared = (("device", "r1-n1/GPU-1"), ("hall", "hall-a"))
    assert rows_of(site(), "gpu", "r1-n1", readings) == [
        Row(
            "gpu",
            (*shared, ("rack", "r1"), ("row", "row-1"), ("site", "demo")),
            {"power_watts": 700.0},
            CHANGE - 1,
        ),
        Row(
            "gpu",
            (*shared, ("rack", "r2"), ("row", "row-2"), ("site", "demo")),
            {"power_watts": 701.0},
            CHANGE,
        ),
    ]


def test_a_reading_without_a_value_gives_no_row_and_zero_is_a_value() -> None:
    readings = [
        ReceivedReading("cdu-1", 5, {"flow_liters_per_second": None}),
        ReceivedReading("cdu-1", 6, {"flow_liters_per_second": 0.0}),
    ]
    (row,) = rows_of(site(), "coolant", "snmp-a", readings)
    assert row.fields == {"flow_liters_per_second": 0.0}
    assert row.tags == (("device", "cdu-1"), ("hall", "hall-a"), ("site", "demo"))


def test_an_unknown_device_stands_in_its_agents_hall() -> None:
    reading = ReceivedReading("new-probe", 5, {"temperature_celsius": 20.0})
    (row,) = rows_of(site(), "climate", "snmp-a", [reading])
    assert ("hall", "hall-a") in row.tags
    (row,) = rows_of(site(), "climate", "stranger", [reading])
    assert ("hall", "site") in row.tags


def test_an_event_has_its_code_among_the_tags() -> None:
    event = Event("xid_79", "critical", "GPU has fallen off the bus")
    (row,) = rows_of(site(), "event", "r1-n1", [ReceivedReading("r1-n1/GPU-1", 5, event=event)])
    assert ("code", "xid_79") in row.tags
    assert list(row.tags) == sorted(row.tags)
    assert row.fields == {"severity": "critical", "text": "GPU has fallen off the bus"}
