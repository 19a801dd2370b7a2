# SPDX-License-Identifier: Apache-2.0
"""The parts of a report's document. Energies in Wh, masses in g CO2e; ``None`` = unknown, never 0.

Times are ISO 8601 with the site's offset; ratios 0..1; where nothing else is said a name ends in
its unit.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Figures = dict[str, float | None]
"""By the names of `rackwatt_…` figures, each of which ends in its unit; see docs/figures.md."""


class Part(BaseModel):
    """What all parts share: they are exact, and do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SiteWords(Part):
    """Whose report it is."""

    id: str
    name: str
    country: str | None
    time_zone: str
    simulated: bool


class Period(Part):
    """What it is about: half-open, by the site's clocks."""

    kind: Literal["month", "year"]
    label: str
    """``2026-10`` or ``2026``."""
    start: str
    end: str
    start_ms: int
    end_ms: int
    hours: float
    """How long it really is: a clock change or Ramadan makes it an hour longer or shorter."""
    booked_ratio: float
    """Which part of it the books hold, 0..1."""


class Reason(Part):
    """Why a report is preliminary, or what a reader must know of it."""

    code: str
    """``not_final``, ``half_booked``, ``completeness``, ``estimated``, ``invoice``,
    ``no_invoice``, ``meters``, ``from_the_copy``, ``factor_missing``, ``tenant_without_name``,
    ``clock_change`` …"""
    text: str
    """One English sentence."""
    values: dict[str, str | float | None]
    """What the sentence names, for other languages."""


class SpanFigures(Part):
    """The figures of a day or a month within the period."""

    label: str
    start: str
    end: str
    hours: float
    figures: Figures


class HourFigures(Part):
    """One hour of the heat map and of the charts, by the site's clocks."""

    start: str
    day: str
    """``2026-10-25``."""
    hour: int
    """0..23 by the clock; one comes twice where clocks go back."""
    carbon_free_energy_score_ratio: float | None
    load_watt_hours: float | None
    it_watt_hours: float | None
    boundary_watt_hours: float | None
    carbon_intensity_operational_grams_per_kilowatt_hour: float | None
    wet_bulb_celsius: float | None = None
    """Mean; ``None``: the books hold no weather."""


class Comparison(Part):
    """An earlier period to compare with."""

    label: str
    available: bool
    """Whether the books hold enough of it."""
    figures: Figures


class MeterLine(Part):
    """One meter, as the boundary's list has it."""

    id: str
    role: str
    """``grid``, ``pv``, ``it`` …; empty: of no flow."""
    position: str | None
    """``ups_output``, ``pdu_output``, ``equipment_input``."""
    accuracy_class: float | None
    """Percent."""
    transformer_class: float | None
    calibrated: str | None
    """A date."""
    calibration_due: str | None
    overdue: bool
    state: str
    """At the period's end: ``planned``, ``installed``, ``in_service``, ``out``."""
    in_service: bool
    """In the whole period."""
    count: int = 1
    """How many alike this line stands for: PDUs of racks are summed up in one."""
    energy_watt_hours: float | None = None
    """As far as quarter hours tell it."""


class TermLine(Part):
    """A meter that makes up a flow of the boundary."""

    role: str
    meter: str
    sign: Literal[1, -1]


class ContractLine(Part):
    """A contract whose claim the import is matched with."""

    id: str
    kind: str
    source: str
    claimed_watt_hours: float | None
    matched_watt_hours: float


class CertificateLine(Part):
    """A certificate, or a run of them, that stands for energy of the period."""

    registry: str
    serial: str
    source: str
    start: str
    end: str
    watt_hours: float
    inside_watt_hours: float
    """Of the period, by time."""
    retired: str | None
    """When; ``None``: it was not, and counts for nothing."""
    beneficiary: str
    contract: str


class Carbon(Part):
    """Carbon both ways, life cycle apart. Refrigerants, SF6 and scope 3 are not in it."""

    scope_1_grams: float | None
    scope_2_location_grams: float | None
    scope_2_market_grams: float | None
    scope_2_market_proposed_grams: float | None
    """By the hour, as proposed for the next standard; never signed."""
    life_cycle_grams: float | None
    operational_grams: float | None
    market_note: str | None
    """``no residual mix available`` where the grid's average stands in for it."""
    contracted_watt_hours: float | None
    certified_watt_hours: float | None
    rest_watt_hours: float | None
    sold_watt_hours: float | None
    excludes: list[str]
    """``refrigerants``, ``sf6``, ``scope_3``."""
    contracts: list[ContractLine]
    certificates: list[CertificateLine]


class InvoiceLine(Part):
    """A comparison of the books with an invoice."""

    start: str
    end: str
    meter: str
    """Empty: all import."""
    invoice_watt_hours: float
    ledger_watt_hours: float
    ratio: float
    """Invoice over ledger."""
    within_limit: bool
    author: str
    reason: str
    entry: int
    """Its place in the journal."""


class GpuFleet(Part):
    """The GPUs, as far as the books attribute them."""

    gpu_hours: float | None
    """Allocated to tenants, the operator among them."""
    allocated_gpu_hours: float | None
    """Without the operator's."""
    it_watt_hours: float | None
    utilization_ratio: float | None = None
    """Mean over GPU-hours, of samples; ``None``: the books hold too few."""
    utilization_samples: int = 0
    """Each GPU is looked at once an hour."""


class HallAir(Part):
    """The air at the inlets of a hall's racks, or of all racks."""

    hall: str
    """Empty: all of them."""
    rack_hours: float
    """Of racks with a known inlet."""
    coverage_ratio: float
    """Part of the racks' time that is known; below 0.95 nothing is stated."""
    recommended_ratio: float | None
    """Part of the known rack-hours within the recommended range."""
    allowable_ratio: float | None
    min_celsius: float | None
    max_celsius: float | None
    mean_celsius: float | None


class Conditions(Part):
    """Weather, and air at the racks' inlets, by the first reading of each minute."""

    outdoor_temperature_celsius: float | None
    outdoor_temperature_min_celsius: float | None
    """The coldest quarter hour's mean."""
    outdoor_temperature_max_celsius: float | None
    outdoor_coverage_ratio: float
    wet_bulb_celsius: float | None
    """After Stull (2011), at sea level's pressure."""
    wet_bulb_coverage_ratio: float
    air_classes: list[str]
    """After ASHRAE TC 9.9 (2021): those that rows were booked by, one as a rule."""
    inlets: HallAir | None
    """Of all racks with a probe; ``None``: there are none."""
    halls: list[HallAir]


class TenantLine(Part):
    """What a tenant used. Allocated by stated rules, not a legal billing meter."""

    id: str
    name: str
    kind: str
    country: str | None
    it_watt_hours: float | None
    overhead_watt_hours: float | None
    load_watt_hours: float | None
    rounded_kilowatt_hours: int | None
    """Of the load, by largest remainder: they add up to the rounded site."""
    gpu_hours: float | None
    carbon_life_cycle_grams: float | None
    carbon_operational_grams: float | None
    carbon_free_watt_hours: float | None
    origins_watt_hours: dict[str, float | None]
    certificates_watt_hours: float | None
    """Passed on: its part of what was retired, never more in sum than that."""
    coverage_ratio: float
    """Part of the period's quarter hours that are attributed."""
    gpu_utilization_ratio: float | None = None
    """Of its GPUs, where the books sampled enough."""
    price: float | None = None
    currency: str | None = None


class LostLine(Part):
    """Messages that will not come."""

    agent: str
    start: str | None
    end: str | None


class Restatement(Part):
    """Intervals of the period that were booked again, by cause."""

    cause: str
    author: str
    intervals: int


class Quality(Part):
    """How good the data is."""

    completeness_ratio: float | None
    estimated_ratio: float | None
    """Part of the booked intervals in which energy was estimated."""
    intervals: int
    expected_intervals: int
    restated_intervals: int
    restatements: list[Restatement]
    flags: dict[str, int]
    """In how many intervals each flag stands."""
    lost: list[LostLine]
    held: dict[str, int]
    """Readings that wait for somebody to release them, by agent, of the period."""
    residual_ratio: float | None
    residual_month_flag: bool


class FactorUse(Part):
    """A factor that rows of the period were booked by."""

    item: str
    scope: str
    value: float
    """g/kWh."""
    year: int | None
    source: str
    type: str
    estimated: bool
    version: int
    """Of the table."""


class Method(Part):
    """How it was computed."""

    version: int
    """Of the method."""
    pue_category: int | None
    overhead_rule: str
    battery_rule: str
    matching_rule: str
    factors: list[FactorUse]


class EuFields(Part):
    """Fields after EU 2024/1364, with classes that are indicative only."""

    fields: Figures
    pue_class: str | None
    wue_class: str | None
    indicative: Literal[True] = True


class Proof(Part):
    """From what it was computed: whoever has the ledger can compute it again."""

    source: Literal["ledger", "copy"]
    entry: int | None
    """The journal's last entry that counted."""
    hash: str | None
    software: str
    tz_version: str
    topology: dict[str, str]
    """SHA-256 of the site file and of what it names."""
    factors: list[int]
    """Versions of the tables in force."""
    bases: list[int]
    """Entries of the bases that rows were booked under."""


class Difference(Part):
    """A figure that a revision changed."""

    name: str
    before: float | None
    after: float | None
