# SPDX-License-Identifier: Apache-2.0
"""Attribution in the ledger's journal, and where registers or the site's topology are awkward."""

from datetime import UTC, datetime

from collector.quarters import (
    A_AND_B,
    BEGIN,
    HALL,
    LOADS,
    RACKS,
    SECONDS,
    booked,
    check_sums,
    ms,
    powers,
    row,
    site,
)

from rackwatt.collector.ledger import InputRecord
from rackwatt.collector.ledger.counters import QUARTER_MS
from rackwatt.wire.inventory import InventoryItem, Register


def test_the_ledger_keeps_attribution_in_its_journal() -> None:
    of = site(A_AND_B)
    ledger, attributor = booked(of, [])
    ledger.attribute(attributor)
    ledger.apply(powers(LOADS, range(-10, 3700, 10)), 2)
    ledger.close_intervals(ms(3640))
    entries = [e for e in ledger.entries(0, 10_000) if e.kind == "attribution"]
    starts = [e.start_ms for e in entries]
    assert starts == [BEGIN - QUARTER_MS + n * QUARTER_MS for n in range(5)][-len(starts) :]
    assert set(starts) >= {BEGIN + n * QUARTER_MS for n in range(4)}
    assert all(e.revision == 1 for e in entries)


def test_a_change_of_the_topology_is_flagged() -> None:
    at = datetime.fromtimestamp(ms(300) / 1000, UTC).isoformat()
    halls = HALL.replace(
        "pdus: '{rack}-pdu'}\n- id: hall-b",
        f"pdus: '{{rack}}-pdu', valid_to: '{at}'}}\n- id: hall-b",
    )
    found = row(booked(site(halls=halls), powers(LOADS, SECONDS)))
    assert "topology_changed" in found["flags"]


def test_coarse_registers_take_the_hours_sum() -> None:
    """PDUs count in steps of 100 Wh: racks still add up to the books, minute by minute."""
    of = site(A_AND_B)
    ledger, attributor = booked(of, [])
    items = [
        InventoryItem(
            device=pdu,
            registers={"energy_import_watt_hours": Register(resolution_watt_hours=100.0)},
        )
        for pdu in RACKS
    ]
    ledger.inventory(items, BEGIN - 7_200_000)
    coarse: list[InputRecord] = []
    for record in powers(LOADS, range(-10, 3700, 10)):
        values = dict(record.values)
        if record.device in RACKS:
            values["energy_import_watt_hours"] = (
                (values["energy_import_watt_hours"] or 0) // 100 * 100
            )
        coarse.append(InputRecord(record.device, record.time_ms, values, record.received_ms))
    ledger.apply(coarse, 2)
    ledger.close_intervals(ms(1000))
    early = row((ledger, attributor))
    assert "provisional" in early["flags"]
    check_sums(early)
    ledger.close_intervals(ms(3640))
    late = row((ledger, attributor))
    assert "children_scaled" not in late["flags"]
    check_sums(late)
    ledger.close()
