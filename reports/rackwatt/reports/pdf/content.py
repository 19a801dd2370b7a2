# SPDX-License-Identifier: Apache-2.0
"""What the printed report says: values, not words. Energies in Wh, masses in g, ``None`` = unknown.

Ratios are 0..1, intensities g/kWh, water in litres, temperatures in Celsius. Days are ISO dates of
the site's calendar.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Language = Literal["en", "fr", "ar"]


@dataclass(frozen=True, slots=True)
class Value:
    """One figure.

    Attributes:
        value: ``None`` if it is unknown.
        coverage: Part of the period that it is known for, 0..1; ``None`` where this says nothing.
        reason: Why it is unknown, a key of the texts' `reasons`.
        estimated: An input of it was estimated.
    """

    value: float | None
    coverage: float | None = None
    reason: str | None = None
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Period:
    """What the report is about.

    Attributes:
        year: Of the site's calendar.
        month: 1..12; ``None``: the year.
        start: First moment, ISO 8601 with its offset.
        end: The moment after the last.
        zone: Time zone's name.
        hours: How many it has.
    """

    year: int
    month: int | None
    start: str
    end: str
    zone: str
    hours: float


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps the report from being final.

    Attributes:
        code: A key of the texts' `obstacles`.
        where: Which meter, invoice, …; printed as it is.
        value: A ratio that belongs to it.
        limit: The ratio that it had to keep.
    """

    code: str
    where: str = ""
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Meter:
    """One meter of the boundary.

    Attributes:
        name: As in the site file.
        role: A source or sink, or `it`.
        accuracy: Its class, percent.
        calibrated: Day of its last calibration.
        due: Day by which the next is due.
        state: A key of the texts' `states`: planned, in_test, in_service, …
        completeness: Known part of the period, 0..1.
    """

    name: str
    role: str
    accuracy: float | None
    calibrated: str | None
    due: str | None
    state: str
    completeness: float | None


@dataclass(frozen=True, slots=True)
class Day:
    """One day (of a year: one month, its first day named).

    Attributes:
        date: ISO date.
        sources: Energy by source; one that is missing or ``None`` is unknown.
        it: The IT's energy.
        consumption: The data center's.
        pue: Of the day.
        wet_bulb: Mean, Celsius.
        cfe: Hourly carbon-free score by local hour, 23 to 25 of them.
    """

    date: str
    sources: Mapping[str, float | None]
    it: float | None
    consumption: float | None
    pue: float | None = None
    wet_bulb: float | None = None
    cfe: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Certificate:
    """One lot of certificates: who made it, who retired it, for whom."""

    serial: str
    registry: str
    technology: str
    energy: float
    retired: str | None
    beneficiary: str


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice beside the ledger, both in Wh."""

    number: str
    meter: str
    invoiced: float
    measured: float | None
    blocks: bool


@dataclass(frozen=True, slots=True)
class Hall:
    """Air and GPUs of one hall.

    Attributes:
        name: As in the site file.
        thermal_class: ASHRAE class.
        recommended: Part of the time that all inlets were in the recommended range.
        allowable: The same, of the allowable range.
        rci_high: Rack cooling index, ratio; ``None`` = unknown.
        rci_low: Its mirror.
        hottest: Celsius.
        gpus: How many.
        gpu_energy: What their counters say.
        gpu_hours: How long they were allocated; ``None`` without an allocation file.
        utilization: Mean, 0..1.
    """

    name: str
    thermal_class: str | None = None
    recommended: float | None = None
    allowable: float | None = None
    rci_high: float | None = None
    rci_low: float | None = None
    hottest: float | None = None
    gpus: int | None = None
    gpu_energy: float | None = None
    gpu_hours: float | None = None
    utilization: float | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What one tariff period costs."""

    name: str
    energy: float
    per_kwh: float
    amount: float


@dataclass(frozen=True, slots=True)
class Tenant:
    """What one tenant used.

    Attributes:
        name: As in the site file; the operator's own part is `""`.
        it: Energy at its IT.
        overhead: Its part of cooling and losses.
        gpu_hours: Allocated.
        location: Scope 2 mass, location-based.
        market: The same, market-based.
        origins: Its energy by origin.
        certificates: Energy of certificates passed on to it.
        prices: By tariff period; empty without a tariff.
        currency: ISO 4217.
    """

    name: str
    it: float | None
    overhead: float | None
    gpu_hours: float | None = None
    location: float | None = None
    market: float | None = None
    origins: Mapping[str, float | None] = field(default_factory=dict)
    certificates: float | None = None
    prices: tuple[Price, ...] = ()
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Factor:
    """One emission factor, g/kWh."""

    name: str
    value: float
    kind: str
    source: str
    year: int
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """One of the three signatures; without a name it is a line to sign on."""

    role: Literal["prepared", "reviewed", "approved"]
    name: str = ""
    time: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure that a revision changed, in the figure's unit."""

    name: str
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Printed:
    """The whole report.

    Attributes:
        site: The site's name.
        operator: Who runs it.
        example: It is made up: every page says so.
        period: What it is about.
        figures: By the names of `sections.figures`: each a value of a stated unit.
        pue_category: 1..3.
        pue_uncertainty: Expanded, k = 2.
        previous: The same figures of the period before.
        last_year: Of the same period a year before.
        sources: Energy by source.
        sinks: Energy by sink.
        carbon: Masses: scope_1, scope_2_location, scope_2_market, operational, life_cycle.
        market_note: A key of the texts' `notes`, as `no_residual_mix`.
        water: Litres by source; `discharge` is what left.
        position: Number of the journal's last revision that it is made from.
        head: The journal's hash there.
        versions: Method, factors, topology, time zone data: name to version.
        from_copy: Made from a copy of the ledger: cannot be signed.
        revision: 0: the first.
    """

    site: str
    operator: str
    period: Period
    figures: Mapping[str, Value]
    sources: Mapping[str, float | None]
    sinks: Mapping[str, float | None]
    carbon: Mapping[str, float | None]
    position: int
    head: str
    versions: Mapping[str, str]
    example: bool = False
    pue_category: int | None = None
    pue_uncertainty: float | None = None
    previous: Mapping[str, float | None] = field(default_factory=dict)
    last_year: Mapping[str, float | None] = field(default_factory=dict)
    obstacles: tuple[Obstacle, ...] = ()
    meters: tuple[Meter, ...] = ()
    days: tuple[Day, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    invoices: tuple[Invoice, ...] = ()
    halls: tuple[Hall, ...] = ()
    tenants: tuple[Tenant, ...] = ()
    factors: tuple[Factor, ...] = ()
    signatures: tuple[Signature, ...] = ()
    differences: tuple[Difference, ...] = ()
    water: Mapping[str, float | None] = field(default_factory=dict)
    quality: Mapping[str, float | None] = field(default_factory=dict)
    market_note: str | None = None
    from_copy: bool = False
    revision: int = 0

    @property
    def preliminary(self) -> bool:
        """Whether something keeps it from being final."""
        return bool(self.obstacles)
