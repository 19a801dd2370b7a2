# SPDX-License-Identifier: Apache-2.0
"""The report's document, version 1: JSON and PDF are both made from it, and from nothing else.

It holds no time at which it was made, and nothing that depends on the machine: the same books give
the same bytes. Its schema stands in docs/schema/report-1.json.
"""

import json
from typing import Final, Literal, Self

from pydantic import ValidationError

from rackwatt.reports.parts import (
    Carbon,
    Comparison,
    Conditions,
    Difference,
    EuFields,
    Figures,
    GpuFleet,
    HourFigures,
    InvoiceLine,
    MeterLine,
    Method,
    Part,
    Period,
    Proof,
    Quality,
    Reason,
    SiteWords,
    SpanFigures,
    TenantLine,
    TermLine,
)

SCHEMA: Final = 1
TYPE: Final = "rackwatt-report"


class BadDocument(ValueError):  # noqa: N818 - what the text is
    """A text is no report that this program can read; it says why."""


class Report(Part):
    """One month or one year of a site, in words that do not depend on a language.

    Attributes:
        type: What it is.
        schema_version: Of this document.
        site: Whose.
        period: Of when.
        state: ``final``, or ``preliminary`` with reasons.
        reasons: Why it is preliminary.
        notes: What a reader must know besides.
        revision: 1, or more after a signed report of the period.
        differences: What changed against the revision before.
        figures: Those of the period, under the names of docs/figures.md.
        coverage: Part of the period that a figure covers, 0..1, by the same names.
        previous: The month before, or the year before.
        year_ago: The same month of the year before; ``None`` for a year.
        months: For a year its months.
        days: Its days; empty for a year.
        hours: Its hours, for the heat map; empty for a year.
        meters: The boundary's meters.
        terms: What makes up the flows at the period's end.
        carbon: Both ways.
        invoices: Reconciliations that meet the period.
        gpus: The fleet; ``None`` where nothing is attributed.
        tenants: The operator last.
        water_liters: Taken in, by source.
        water_discharge_liters: Given back; ``None``: not metered.
        quality: How good the data is.
        method: How it was computed.
        eu: Fields for the authorities.
        export_cap_ratio: The legal cap on the export, where there is one.
        proof: From what it was computed.
        conditions: Weather and air at inlets; ``None``: the books hold none.
    """

    type: Literal["rackwatt-report"] = "rackwatt-report"
    schema_version: Literal[1] = 1
    site: SiteWords
    period: Period
    state: Literal["final", "preliminary"]
    reasons: list[Reason]
    notes: list[Reason]
    revision: int = 1
    differences: tuple[Difference, ...] = ()
    figures: Figures
    coverage: dict[str, float]
    previous: Comparison | None
    year_ago: Comparison | None
    months: list[SpanFigures]
    days: list[SpanFigures]
    hours: list[HourFigures]
    meters: list[MeterLine]
    terms: list[TermLine]
    carbon: Carbon
    invoices: list[InvoiceLine]
    gpus: GpuFleet | None
    tenants: list[TenantLine]
    water_liters: dict[str, float | None]
    water_discharge_liters: float | None
    quality: Quality
    method: Method
    eu: EuFields
    export_cap_ratio: float | None
    proof: Proof
    conditions: Conditions | None = None

    @classmethod
    def read(cls, text: str | bytes) -> Self:
        """Return the report that a JSON text holds.

        Raises:
            BadDocument: It holds none of this version.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the text"
            raise BadDocument(
                f"it is no report of version {SCHEMA}: {where}: {first['msg']}"
            ) from (error)


def schema_text() -> str:
    """Return the JSON schema, as it is committed."""
    found = Report.model_json_schema()
    found["$id"] = "report-1.json"
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
