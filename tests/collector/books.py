# SPDX-License-Identifier: Apache-2.0
"""Books of a small site, and readings of an hour to be booked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collector.terms import Terms, terms

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.factors import SiteFactors, shipped
from rackwatt.collector.accounting.modelled import LossModel
from rackwatt.collector.ledger import Act, InputRecord, Ledger
from rackwatt.collector.site.topology import Utility

MINUTE = 60_000
HOUR = 60 * MINUTE
BEGIN = 1_780_000_000_000 // HOUR * HOUR + 2 * HOUR
MEMORY = Path(":memory:")
PARAMETERS = BatteryParameters(1000.0, 0.9, 0.9)


@dataclass(frozen=True)
class Meter:
    cadence_seconds: float = 1.0
    accuracy: float = 0.5
    transformer_class: float = 0.0
    calibration_group: str = ""
    parent: str = ""


@dataclass(frozen=True)
class Site:
    roles: Mapping[str, tuple[str, ...]]
    category: int = 2
    meters: Mapping[str, Meter] = field(default_factory=dict)
    contracts: tuple[Any, ...] = ()
    utilities: tuple[Utility, ...] = ()
    modelled_losses: tuple[LossModel, ...] = ()

    def terms_at(self, time_ms: int) -> Terms:
        return terms(self.category, **self.roles)

    def meters_at(self, time_ms: int) -> Mapping[str, Meter]:
        return self.meters


PLAIN = Site({"grid": ("g",), "pv": ("p",), "battery": ("b",), "it": ("i",)})


def ledger(path: Path = MEMORY, site: Site = PLAIN, initial: float = 0.0) -> Ledger:
    return Ledger(path, site, SiteFactors(shipped(), "MA"), PARAMETERS, initial)


def record(device: str, seconds: float, **values: float | None) -> InputRecord:
    time = BEGIN + round(seconds * 1000)
    return InputRecord(device, time, values, time + 500)


def energy(watts: float, seconds: float) -> float:
    return watts * (seconds + 100) / 3600


def hour_of(seconds: Iterable[int]) -> list[InputRecord]:
    """Grid 1000 W, PV 500 W, charge 300 W, IT 1200 W."""
    found: list[InputRecord] = []
    for s in seconds:
        found += [
            record("g", s, power_watts=1000.0, energy_import_watt_hours=energy(1000.0, s)),
            record("p", s, power_watts=500.0, energy_import_watt_hours=energy(500.0, s)),
            record(
                "b",
                s,
                power_charge_watts=300.0,
                power_discharge_watts=0.0,
                energy_charge_watt_hours=energy(300.0, s),
                energy_discharge_watt_hours=7.0,
            ),
            record("i", s, power_watts=1200.0, energy_import_watt_hours=energy(1200.0, s)),
        ]
    return found


def decided(book: Ledger) -> list[Act]:
    """All acts but what rows are booked by."""
    return [act for act in book.acts() if act.name != "basis"]


def rows(book: Ledger) -> list[tuple[int, str]]:
    return [(row.start_ms, row.text) for row in book.rows(0, 2**60)]


def data(book: Ledger, minute: int = 0) -> Mapping[str, Any]:
    start = BEGIN + minute * MINUTE
    (row,) = book.rows(start, start + 1)
    return row.data
