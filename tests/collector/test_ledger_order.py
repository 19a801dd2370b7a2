# SPDX-License-Identifier: Apache-2.0
"""Whatever the order, the repetition and the time of arrival: the same latest rows."""

from pathlib import Path

from collector.books import Meter
from collector.terms import Terms, terms
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.factors import SiteFactors, shipped
from rackwatt.collector.ledger import InputRecord, Ledger
from rackwatt.wire.inventory import InventoryItem, Register

HOUR = 3_600_000
BEGIN = 1_780_000_000_000 // HOUR * HOUR


class OrderSite:
    contracts = ()
    utilities = ()
    modelled_losses = ()

    def terms_at(self, time_ms: int) -> Terms:
        return terms(grid=["g"], pv=["p"], battery=["b"], it=["i"], losses=["u", "-i"])

    def meters_at(self, time_ms: int) -> dict[str, Meter]:
        below = {name: Meter(cadence_seconds=60.0, parent="u") for name in "ip"}
        return dict.fromkeys("gbu", Meter(cadence_seconds=60.0)) | below


def item() -> InventoryItem:
    coarse = Register(resolution_watt_hours=50.0, modulus_watt_hours=2000.0)
    return InventoryItem(device="i", registers={"energy_import_watt_hours": coarse})


def book_of(path: Path) -> Ledger:
    parameters = BatteryParameters(5000.0, 0.9, 0.95)
    return Ledger(path, OrderSite(), SiteFactors(shipped(), "MA"), parameters, 300.0)


def stream() -> list[InputRecord]:
    """Two hours around an hour's edge, irregular, with a reset, a roll-over and a held reading."""
    found: list[InputRecord] = []
    for index in range(48):
        time = BEGIN - HOUR // 2 + index * 97_003
        hours = index * 97.003 / 3600
        counted = 10_000.0 + 1000 * hours if index < 30 else 1000 * hours
        found += [
            InputRecord("g", time, {"energy_import_watt_hours": counted}, time),
            InputRecord("g", time - 3000, {"power_watts": 900.0 + index}, time),
            InputRecord("g", time + 1, {"energy_export_watt_hours": 4.0}, time),
            InputRecord("p", time, {"power_watts": 500.0 * (index % 3)}, time),
            InputRecord(
                "i", time, {"energy_import_watt_hours": 1900 * hours // 50 * 50 % 2e3}, time
            ),
            InputRecord("i", time + 5000, {"power_watts": 1800.0 + 20 * (index % 7)}, time),
            InputRecord("u", time, {"energy_import_watt_hours": 2000 * hours}, time),
            InputRecord("u", time + 7000, {"power_watts": 1900.0 + 90 * (index % 9)}, time),
            InputRecord("p", time, {"energy_import_watt_hours": 400 * hours}, time),
            InputRecord("b", time, {"energy_charge_watt_hours": 300 * hours}, time),
            InputRecord("b", time, {"energy_discharge_watt_hours": 100 * hours}, time),
            InputRecord("b", time, {"state_of_charge_ratio": 0.1 + index / 100}, time),
        ]
    found.append(InputRecord("p", BEGIN, {"power_watts": 1e9}, BEGIN, trusted=False))
    return found


def test_the_stream_is_worth_booking() -> None:
    book = book_of(Path(":memory:"))
    book.inventory([item()], BEGIN)
    book.apply(stream(), 1)
    done = book.close_intervals(BEGIN + 2 * HOUR)
    assert done.closed > 70
    codes = {code for *_, code in book.events(0, 2**60)}
    assert codes >= {"reset", "roll_over"}
    assert any(row.data["shares"] for row in book.rows(0, 2**60))
    book.close()


READINGS = stream()


def outcome(book: Ledger) -> list[tuple[int, str]]:
    found = [(row.start_ms, row.text) for row in book.rows(0, 2**60)]
    assert book.verify() is None
    book.close()
    return found


def straight(records: list[InputRecord], now: int) -> list[tuple[int, str]]:
    """What live data would have given: everything in order, closed as time goes by."""
    book = book_of(Path(":memory:"))
    book.inventory([item()], BEGIN)
    time = BEGIN - HOUR
    for position, record in enumerate(sorted(records, key=lambda r: (r.time_ms, r.device))):
        while time < record.time_ms:
            time += 60_000
            book.close_intervals(time)
        book.apply([record], position)
    while time < now:
        time = min(time + 60_000, now)
        book.close_intervals(time)
    return outcome(book)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_any_order_of_arrival_gives_the_same_rows(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([5, 60, len(READINGS)]))
    kept = data.draw(st.permutations(READINGS))[:size]
    now = data.draw(st.integers(BEGIN + HOUR, BEGIN + 3 * HOUR))
    order = data.draw(st.permutations(kept + kept[:5]))
    book = book_of(Path(":memory:"))
    book.inventory([item()], BEGIN)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=4)))
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(order)], strict=True)):
        book.apply(order[first:last], number)
        book.close_intervals(data.draw(st.integers(BEGIN - HOUR, now)))
    book.close_intervals(now)
    assert outcome(book) == straight(kept, now)
