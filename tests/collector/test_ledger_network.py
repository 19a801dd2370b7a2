# SPDX-License-Identifier: Apache-2.0
"""Several buses, claims, parent meters and the residual's uncertainty, from readings to rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import fsum
from pathlib import Path
from typing import Any

import pytest
from collector.books import BEGIN, MEMORY, MINUTE, PARAMETERS, Meter, Site, data, ledger, record
from collector.campus import Always, Contract
from collector.terms import Term, Terms, Tie

from rackwatt.collector.accounting.factors import SiteFactors, shipped
from rackwatt.collector.accounting.modelled import LossModel
from rackwatt.collector.ledger import InputRecord, Ledger
from rackwatt.collector.ledger.verify import verify

HALLS = Terms(
    {
        "grid": (Term("g", bus="north"),),
        "pv": (Term("p", bus="south"),),
        "battery": (Term("b", bus="south"),),
        "it": (Term("i", bus="north"), Term("j", bus="south")),
    },
    buses=("north", "south"),
    ties=(Tie("north", "south", "t"),),
)


@dataclass(frozen=True)
class Mesh:
    meters: Mapping[str, Meter] = field(default_factory=dict)
    contracts: tuple[Any, ...] = ()
    utilities: tuple[Any, ...] = ()
    modelled_losses: tuple[LossModel, ...] = ()

    def terms_at(self, time_ms: int) -> Terms:
        return HALLS

    def meters_at(self, time_ms: int) -> Mapping[str, Meter]:
        return self.meters


def mesh(site: Mesh | None = None) -> Ledger:
    return Ledger(MEMORY, site or Mesh(), SiteFactors(shipped(), "MA"), PARAMETERS, 0.0)


def counted(device: str, seconds: float, watts: float) -> InputRecord:
    energy = watts * (seconds + 100) / 3600
    return record(device, seconds, power_watts=watts, energy_import_watt_hours=energy)


def campus_of(seconds: Iterable[int], tie: bool = True) -> list[InputRecord]:
    """Grid 9000 W in the north, PV 3000 in the south; 6000 go south, which charges 1200."""
    found: list[InputRecord] = []
    for s in seconds:
        for device, watts in {"g": 9000.0, "p": 3000.0, "i": 3000.0, "j": 7800.0}.items():
            found.append(counted(device, s, watts))
        charge = {"energy_charge_watt_hours": 1200.0 * (s + 100) / 3600}
        found.append(record("b", s, **charge, energy_discharge_watt_hours=0.0))
        if tie:
            found.append(counted("t", s, 6000.0))
    return found


def test_a_mesh_is_booked_bus_by_bus() -> None:
    book = mesh()
    book.apply(campus_of(range(0, 160, 10)), 1)
    book.close_intervals(BEGIN + 150_000)
    row = data(book)
    assert row["ties"] == [["north", "south", pytest.approx(100.0)]]
    north, south = row["buses"]["north"], row["buses"]["south"]
    assert north["sources"] == {"grid": pytest.approx(150.0)}
    assert north["shares"]["grid"] == pytest.approx(1.0)
    assert south["shares"]["pv"] == pytest.approx(1 / 3)
    assert south["charge"] == pytest.approx(20.0)
    assert row["sources"] == {"grid": pytest.approx(150.0), "pv": pytest.approx(50.0)}
    assert row["residual"] == pytest.approx(0.0, abs=1e-9)
    assert row["shares"]["pv"] == pytest.approx(130 / 3 / 180)
    assert row["battery"]["stock"]["pv"] == pytest.approx(0.9 * 20 / 3)
    assert row["battery"]["grid_free"] == pytest.approx(0.9 * 40 / 3 * 0.215)
    assert row["carbon_free"] == pytest.approx(130 / 3 + 0.215 * (180 - 130 / 3))
    assert row["completeness"] == 1.0
    book.close()


def test_a_row_of_a_mesh_can_be_booked_again_from_itself() -> None:
    book = mesh()
    book.apply(campus_of(range(0, 160, 10)), 1)
    book.close_intervals(BEGIN + 150_000)
    (row,) = book.rows(BEGIN, BEGIN + 1)
    booking = row.booking
    assert booking.nodes is not None
    assert booking.nodes["south"].charge == row.data["buses"]["south"]["charge"]
    assert [tie.watt_hours for tie in booking.ties] == [row.data["ties"][0][2]]
    assert row.battery.grid_free == row.data["battery"]["grid_free"]
    book.close()


def test_a_mesh_is_verified_row_by_row_and_from_inputs(tmp_path: Path) -> None:
    path, factors = tmp_path / "ledger.db", SiteFactors(shipped(), "MA")
    book = Ledger(path, Mesh(), factors, PARAMETERS, 0.0)
    book.apply(campus_of(range(0, 640, 10)), 1)
    book.close_intervals(BEGIN + 10 * MINUTE)
    book.close()
    found = verify(path, site=Mesh(), factors=factors, battery=PARAMETERS)
    assert found.findings == []
    assert found.recomputed == found.from_inputs == 9


def test_a_silent_tie_blinds_what_is_downstream_until_it_speaks() -> None:
    book = mesh()
    book.apply(campus_of(range(0, 160, 10), tie=False), 1)
    book.close_intervals(BEGIN + 150_000)
    row = data(book)
    assert row["buses"]["north"]["shares"] is not None
    assert (row["buses"]["south"]["shares"], row["shares"], row["residual"]) == (None, None, None)
    assert row["completeness"] == pytest.approx(6 / 7)
    book.apply([r for r in campus_of(range(0, 160, 10)) if r.device == "t"], 2)
    book.close_intervals(BEGIN + 150_000)
    straight = mesh()
    straight.apply(campus_of(range(0, 160, 10)), 1)
    straight.close_intervals(BEGIN + 150_000)
    assert data(book) == data(straight)
    book.close()
    straight.close()


def test_what_contracts_plants_gave_stands_in_the_row() -> None:
    contract = Contract("plant", Always(), "ppa-1")
    book = ledger(site=Site({"grid": ("g",), "it": ("i",)}, contracts=(contract,)))
    for s in range(0, 160, 10):
        book.apply([counted(device, s, 600.0) for device in ("g", "i")], s)
    book.close_intervals(BEGIN + 150_000)
    assert data(book)["claims"] == {"ppa-1": None}
    book.apply([counted("plant", s, 240.0) for s in range(0, 160, 10)], 999)
    book.close_intervals(BEGIN + 150_000)
    assert data(book)["claims"] == {"ppa-1": pytest.approx(4.0)}
    assert data(book)["completeness"] == 1.0, "a claim is no term of the balance"
    (row,) = book.rows(BEGIN, BEGIN + 1)
    assert row.booking.claims == row.data["claims"]
    book.close()


def test_the_residual_is_judged_by_the_meters_classes() -> None:
    meters = {name: Meter(accuracy=0.5) for name in "gi"}
    site = Site({"grid": ("g",), "it": ("i",)}, meters=meters)
    for watts, flagged in ((1003.0, False), (1020.0, True)):
        book = ledger(site=site)
        for s in range(0, 160, 10):
            book.apply([counted("g", s, watts), counted("i", s, 1000.0)], s)
        book.close_intervals(BEGIN + 150_000)
        row = data(book)
        assert row["residual_uncertainty"] == pytest.approx(0.00408 * 1000 / 60, rel=0.02)
        assert ("residual_beyond_uncertainty" in row["flags"]) is flagged
        book.close()


def gap(parent: str, cadence: float = 10.0) -> Ledger:
    """A PDU's register is silent for ten minutes; the meter above it sees a step meanwhile."""
    meters = {"i": Meter(cadence, parent=parent), "u": Meter(cadence)}
    book = ledger(site=Site({"it": ("i",)}, meters=meters))
    pdu = [
        record("i", s, energy_import_watt_hours=value)
        for s, value in ((0, 0.0), (10, 10.0), (610, 310.0), (620, 315.0), (660, 335.0))
    ]
    book.apply(pdu, 1)
    step = round(cadence)
    above = [
        record("u", s, power_watts=4000.0 if s <= 310 else 2000.0) for s in range(0, 700, step)
    ]
    book.apply(above, 2)
    book.close_intervals(BEGIN + 690_000)
    return book


def test_a_gap_takes_its_shape_from_the_parent_meter() -> None:
    """300 Wh in ten minutes: 5 minutes at 40 Wh, then 5 at 20."""
    for cadence in (10.0, 30.0):
        book = gap("u", cadence)
        assert data(book, 2)["it"] == pytest.approx(40.0, rel=0.02)
        assert data(book, 8)["it"] == pytest.approx(20.0, rel=0.02)
        assert data(book, 8)["metering"] == ["shape_estimated"]
        whole = fsum(row.data["it"] for row in book.rows(BEGIN, BEGIN + 11 * MINUTE))
        assert whole == pytest.approx(335.0)
        book.close()


def test_without_a_parent_a_gap_is_flat() -> None:
    book = gap("")
    assert data(book, 2)["it"] == pytest.approx(30.0)
    assert data(book, 8)["it"] == pytest.approx(30.0)
    book.close()
