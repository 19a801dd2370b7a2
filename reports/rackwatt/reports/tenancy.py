# SPDX-License-Identifier: Apache-2.0
"""Tenants of a period: sums of the quarter hours that the journal attributes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import floor
from typing import Final

import msgspec

from rackwatt.collector.accounting.keyfigures import REPORTED_COVERAGE
from rackwatt.collector.accounting.sums import ExactSum
from rackwatt.collector.accounting.tenants import OPERATOR, largest_remainder
from rackwatt.collector.accounting.vocabulary import total
from rackwatt.collector.ledger.dirty import QUARTER_MS
from rackwatt.collector.site import Site
from rackwatt.reports.conditions import QuarterConditions
from rackwatt.reports.parts import GpuFleet, TenantLine

_KILO: Final = 1000.0


class Share(msgspec.Struct):
    """What one tenant has of one quarter hour."""

    kind: str = ""
    country: str | None = None
    it: float | None = None
    overhead: float | None = None
    load: float | None = None
    gpu_hours: float | None = None
    carbon: dict[str, float | None] = {}
    carbon_free: float | None = None
    origins: dict[str, float | None] | None = None


class Quarter(msgspec.Struct):
    """One quarter hour's attribution, as far as reports need it."""

    flags: list[str] = []
    tenants: dict[str, Share] | None = None
    meters: dict[str, float | None] | None = None
    conditions: QuarterConditions | None = None


_DECODER: Final = msgspec.json.Decoder(Quarter)


def read_quarter(text: str) -> Quarter:
    """Return a row of attribution, read."""
    return _DECODER.decode(text)


@dataclass(slots=True)
class _Tally:
    sums: dict[str, ExactSum] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    kind: str = ""
    country: str | None = None

    def add(self, name: str, value: float | None) -> None:
        if value is None:
            self.unknown[name] = self.unknown.get(name, 0) + 1
            return
        if name not in self.sums:
            self.sums[name] = ExactSum()
        self.sums[name].extend([value])


@dataclass(slots=True)
class Tenancy:
    """Sums by tenant.

    Attributes:
        expected: How many quarter hours the period has.
        quarters: How many of them are attributed.
        entry: The last entry of the journal that is in it.
    """

    expected: int
    quarters: int = 0
    entry: int = 0
    tallies: dict[str, _Tally] = field(default_factory=dict)

    def take(self, seq: int, quarter: Quarter, price: float | None = None) -> None:
        """Add a quarter hour.

        Args:
            seq: Its entry in the journal.
            quarter: What it says.
            price: What a kWh costs in it, where there is a tariff.
        """
        self.entry = max(self.entry, seq)
        if quarter.tenants is None:
            return
        self.quarters += 1
        for name, share in quarter.tenants.items():
            self._add(name, share, price)

    def _add(self, name: str, share: Share, price: float | None) -> None:
        tally = self.tallies.setdefault(name, _Tally())
        tally.kind, tally.country = share.kind or tally.kind, share.country or tally.country
        for key in ("it", "overhead", "load", "gpu_hours", "carbon_free"):
            tally.add(key, getattr(share, key))
        for series in ("life_cycle", "operational"):
            tally.add(series, share.carbon.get(series))
        for origin, energy in (share.origins or {}).items():
            tally.add(f"origin:{origin}", energy)
        if share.origins is None:
            tally.add("origins", None)
        if price is not None:
            cost = None if share.load is None else share.load / _KILO * price
            tally.add("price", cost)

    def value(self, name: str, key: str) -> float | None:
        """A tenant's sum; ``None`` where less than 95 % of the period is known."""
        tally = self.tallies[name]
        known = self.quarters - tally.unknown.get(key, 0)
        if key not in tally.sums or known < REPORTED_COVERAGE * self.expected:
            return None
        return tally.sums[key].value

    @property
    def coverage(self) -> float:
        """Part of the period that is attributed, 0..1."""
        return self.quarters / self.expected if self.expected else 0.0


def quarters_in(start_ms: int, end_ms: int) -> int:
    """How many quarter hours begin in a half-open span."""
    return -(-end_ms // QUARTER_MS) - -(-start_ms // QUARTER_MS)


def tenant_lines(
    found: Tenancy, site: Site, retired_watt_hours: float, currency: str | None
) -> list[TenantLine]:
    """A line for each tenant, in order of id, the operator last.

    Args:
        found: Their sums.
        site: Their names.
        retired_watt_hours: What retired certificates stand for: it is passed on pro rata to load,
            in whole Wh rounded down, so that no more is passed on than was retired.
        currency: Of the price, where there is a tariff.
    """
    names = {tenant.id: tenant.name for tenant in site.tenants}
    lines = [_line(found, name, names.get(name, "")) for name in found.tallies]
    return settled_lines(lines, retired_watt_hours, currency)


def settled_lines(
    lines: Iterable[TenantLine], retired_watt_hours: float, currency: str | None
) -> list[TenantLine]:
    """Put lines in order, round their loads so that they add up, and pass certificates on."""
    ordered = sorted(lines, key=lambda one: (one.id == OPERATOR, one.id))
    loads = {one.id: one.load_watt_hours for one in ordered}
    whole = total(loads.values())
    rounded: Mapping[str, int] = {}
    if whole is not None:
        rounded = largest_remainder({k: v for k, v in loads.items() if v is not None}, _KILO)
    return [
        one.model_copy(
            update={
                "rounded_kilowatt_hours": rounded.get(one.id),
                "certificates_watt_hours": _passed(loads[one.id], whole, retired_watt_hours),
                "currency": currency,
            }
        )
        for one in ordered
    ]


def _passed(load: float | None, whole: float | None, retired: float) -> float | None:
    if load is None or not whole:
        return None
    return float(floor(min(retired, whole) * (load / whole) * (1.0 - 1e-12)))


def _line(found: Tenancy, name: str, title: str) -> TenantLine:
    tally = found.tallies[name]
    origins = sorted(key for key in tally.sums if key.startswith("origin:"))
    unknown = tally.unknown.get("load", 0)
    return TenantLine(
        id=name,
        name=title,
        kind=tally.kind or OPERATOR,
        country=tally.country,
        it_watt_hours=found.value(name, "it"),
        overhead_watt_hours=found.value(name, "overhead"),
        load_watt_hours=found.value(name, "load"),
        rounded_kilowatt_hours=None,
        gpu_hours=found.value(name, "gpu_hours"),
        carbon_life_cycle_grams=found.value(name, "life_cycle"),
        carbon_operational_grams=found.value(name, "operational"),
        carbon_free_watt_hours=found.value(name, "carbon_free"),
        origins_watt_hours={key.partition(":")[2]: found.value(name, key) for key in origins},
        certificates_watt_hours=None,
        coverage_ratio=(found.quarters - unknown) / found.expected if found.expected else 0.0,
        price=found.value(name, "price"),
    )


def fleet(lines: Iterable[TenantLine]) -> GpuFleet | None:
    """The GPUs of all tenants; ``None`` where nothing is attributed."""
    found = list(lines)
    if not found:
        return None
    tenants = [one for one in found if one.id != OPERATOR]
    return GpuFleet(
        gpu_hours=total([one.gpu_hours for one in found]),
        allocated_gpu_hours=total([one.gpu_hours for one in tenants]) if tenants else 0.0,
        it_watt_hours=total([one.it_watt_hours for one in found]),
    )
