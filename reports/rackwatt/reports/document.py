# SPDX-License-Identifier: Apache-2.0
"""The report as data: what the PDF prints, the CSV lists and the JSON files, in one place.

Energies in Wh, carbon in g CO2e, water in L, intensities in g/kWh, ratios 0..1, times in ms since 1970
UTC beside local ISO texts. What is unknown is None and never 0. `figures` of a span are those of
`rackwatt ledger show --json`, name for name and digit for digit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

FORMAT: Final = "rackwatt report"
VERSION: Final = 1

Figures = Mapping[str, Any]
Kind = Literal["month", "year"]
State = Literal["preliminary", "final"]


@dataclass(frozen=True, slots=True)
class SiteWords:
    """Which site, and what its figures are bounded by.

    Attributes:
        id, name, country, timezone: of the site file.
        pue_category: where IT energy is metered (1, 2 or 3); None: nowhere.
        simulated: nothing of it is real.
        subscribed_watts: of the utility's contract; None: the file does not say.
        export_cap_ratio: what may be exported of the own production; None likewise.
    """

    id: str
    name: str
    country: str
    timezone: str
    pue_category: int | None
    simulated: bool
    subscribed_watts: float | None = None
    export_cap_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class PeriodWords:
    """Which span: whole local months or a whole local year.

    Attributes:
        kind: `month` or `year`.
        label: `2026-10` or `2026`.
        start, end: local midnights with their offsets, ISO 8601; the end is not part of it.
        start_ms, end_ms: the same.
        tz_version: of the time zone data by which it was closed.
    """

    kind: Kind
    label: str
    start: str
    end: str
    start_ms: int
    end_ms: int
    tz_version: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a report is preliminary.

    Attributes:
        code: for machines and translators: `not_over`, `not_final`, `completeness`, `estimated`,
            `invoice`, `meter`, `from_copy`, `older_basis`, `no_data`.
        text: in English, with names and numbers.
        values: what the text names, for other languages.
    """

    code: str
    text: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proof:
    """What the figures can be computed again from.

    Attributes:
        source: `book` (ledger.db) or `copy` (InfluxDB), of which nothing can be signed.
        journal_seq, journal_hash: the last entry that was looked at.
        software: version of this program.
        method: version of the method.
        tz_version: of the time zone data used.
        files: SHA-256 of the site file, its moves, and the CSV files that it names.
    """

    source: Literal["book", "copy"]
    journal_seq: int
    journal_hash: str
    software: str
    method: str
    tz_version: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SpanFigures:
    """One day, hour or month of the report.

    Attributes:
        label: `2026-10-01`, `2026-10-01T13` (local hour), `2026-10`.
        start_ms: its begin.
        figures: as `ledger show` has them; None: nothing is booked of it.
    """

    label: str
    start_ms: int
    figures: Figures | None


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour of the heat map and of the CSV.

    Attributes:
        start_ms: UTC hour.
        day: local date.
        hour: local hour, 0 to 23.
        load: Wh.
        carbon_free_energy: CFE score of the hour, 0..1.
        renewable: share, 0..1.
        carbon: g, operational, location-based.
    """

    start_ms: int
    day: str
    hour: int
    load: float | None
    carbon_free_energy: float | None
    renewable: float | None
    carbon: float | None


@dataclass(frozen=True, slots=True)
class MeterWords:
    """A meter of the boundary drawing.

    Attributes:
        id: its name.
        role: what it measures: `grid`, `pv`, `it`, `cooling`, …; "" below those.
        position: of an IT meter: `ups_output`, `pdu_output`, `it_input`; "" of others.
        accuracy_class: in percent; None: nobody said.
        state: `planned`, `installed`, `commissioned`, `in_service`, `out`.
        calibrated, due: ISO dates; None: nobody said.
        overdue: at the end of the period.
    """

    id: str
    role: str
    position: str
    accuracy_class: float | None
    state: str
    calibrated: str | None
    due: str | None
    overdue: bool


@dataclass(frozen=True, slots=True)
class TenantShare:
    """One tenant's part.

    Attributes:
        id, name, kind, country: of the site file; the operator is the tenant `operator`.
        figures: `it`, `overhead`, `load` in Wh, `gpu_hours`, `carbon` by series in g, `origins` in Wh,
            `carbon_free` in Wh; None where unknown.
        price: in `currency`, where a tariff is given.
        currency: ISO 4217; "": no tariff.
    """

    id: str
    name: str
    kind: str
    country: str
    figures: Figures
    price: float | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Invoice:
    """A reconciliation with the utility's invoice.

    Attributes:
        subject: what was invoiced, like `grid-1`.
        invoiced, booked: Wh.
        ratio: invoiced over booked.
        within: whether it is off by at most 0.5 %.
        author, reason: who recorded it, and what they said.
    """

    subject: str
    invoiced: float
    booked: float
    ratio: float
    within: bool
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class CertificateWords:
    """A certificate that was used for the market-based figure.

    Attributes:
        serial, registry, technology, beneficiary: as filed.
        energy: Wh.
        retired: ISO date of its retirement; None: not retired.
    """

    serial: str
    registry: str
    technology: str
    energy: float
    retired: str | None
    beneficiary: str


@dataclass(frozen=True, slots=True)
class Quality:
    """What the figures rest on.

    Attributes:
        completeness: share of the flows that is known.
        estimated: share of the energy that was estimated.
        restated: minutes that were booked again.
        flags: how many minutes bear each flag.
        events: register events: resets, roll-overs, swaps.
        held: readings that wait for somebody to release them.
        lost: messages that are lost for good, where the act that closed the month names them.
    """

    completeness: float | None
    estimated: float | None
    restated: int
    flags: Mapping[str, int]
    events: int
    held: int
    lost: int | None


@dataclass(frozen=True, slots=True)
class FactorWords:
    """A factor of the method.

    Attributes:
        name: like `grid.life_cycle`.
        value: number, or what a text says of a series.
        unit: `g/kWh` or `1`.
        source: where it is from, with year and version.
    """

    name: str
    value: str
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class Document:
    """A report.

    Attributes:
        site, period, proof: what it is about, and what it rests on.
        state: `final`, or `preliminary` for the reasons.
        figures: of the whole period; None: nothing is booked.
        last, year_before: the same of the month (or year) before, and of a year before.
        days: one each, of a year: one each month.
        hours: of a month; none of a year.
        meters, tenants, invoices, certificates, factors: lists.
        quality: what the figures rest on.
        notes: plain words that belong to the figures, by code.
    """

    site: SiteWords
    period: PeriodWords
    state: State
    reasons: Sequence[Reason]
    proof: Proof
    figures: Figures | None
    last: SpanFigures | None
    year_before: SpanFigures | None
    days: Sequence[SpanFigures]
    hours: Sequence[Hour]
    meters: Sequence[MeterWords]
    tenants: Sequence[TenantShare]
    invoices: Sequence[Invoice]
    certificates: Sequence[CertificateWords]
    quality: Quality
    factors: Sequence[FactorWords]
    notes: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """As the JSON file has it."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}

    def text(self) -> str:
        """The JSON file: the same figures give the same bytes."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=1, sort_keys=True) + "\n"
