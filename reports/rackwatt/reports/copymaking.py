# SPDX-License-Identifier: Apache-2.0
"""A report from the ledger's copy in InfluxDB: to look at, never to sign."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from math import fsum, isclose
from typing import Any, Final

from rackwatt.collector.accounting.tenants import OPERATOR
from rackwatt.collector.accounting.vocabulary import HOUR_MS
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.collector.ledger.view import rules_of
from rackwatt.collector.site import Site
from rackwatt.reports.boundary import meter_lines, not_in_service, terms_of
from rackwatt.reports.checking import Verdict
from rackwatt.reports.copybooks import TENANTS, CopyBooks, Fields, Point
from rackwatt.reports.document import Report
from rackwatt.reports.judging import clock_notes, meter_reasons, reason, tenant_notes
from rackwatt.reports.making import NothingBooked, Wanted
from rackwatt.reports.parts import (
    Carbon,
    Comparison,
    HourFigures,
    Method,
    Period,
    Proof,
    Quality,
    SiteWords,
    SpanFigures,
    TenantLine,
)
from rackwatt.reports.sections import (
    BATTERY_RULE,
    EXCLUDES,
    MATCHING_RULE,
    METHOD,
    OVERHEAD_RULE,
    certificate_lines,
    eu_from,
    retired_of,
)
from rackwatt.reports.tenancy import fleet, settled_lines
from rackwatt.reports.times import before, span_named, stamp, year_before

_ORIGIN: Final = "origin_"
_ENERGY: Final = "_watt_hours"
_OF_HOURS: Final = {"it_watt_hours": "load_it_watt_hours"}
_CLOSE: Final = 1e-12
_MOST: Final = 200
WHY: Final = (
    "made from the copy in InfluxDB, which proves nothing: the report to sign is made from the book"
    " of record (--data)"
)


def make_from_copy(copy: CopyBooks, site: Site, wanted: Wanted) -> Report:
    """Return the document of a month.

    Raises:
        NothingBooked: The copy has nothing of the month.
        BadPeriod: Its label names none.
        StoreUnavailable, StoreRefused: As InfluxDB says.
    """
    return _Maker(copy, site, wanted).report()


class _Maker:
    def __init__(self, copy: CopyBooks, site: Site, wanted: Wanted) -> None:
        self._copy = copy
        self._site = site
        self._zone = site.timezone
        self._wanted = wanted
        self._span = span_named(wanted.label, self._zone)

    def report(self) -> Report:
        site, span = self._site, self._span
        flat = self._month(self._wanted.label)
        if flat is None:
            label = self._wanted.label
            raise NothingBooked(f"the copy has no sums of {label}: is it the right InfluxDB?")
        minutes, flags = self._copy.minutes(span)
        lines = self._tenants()
        absent = not_in_service(site, span)
        period = self._period(minutes)
        rules = rules_of(site, span.end_ms - 1)
        retired = retired_of(rules, span)
        water = {name: flat[f"water_{name}_liters"] for name in self._waters(flat)}
        days = (self._last_day() - self._first_day() + timedelta(days=1)).days
        return Report(
            site=SiteWords(
                id=site.id, name=site.name or site.id, country=site.country,
                time_zone=self._zone.key, simulated=site.simulated,
            ),
            period=period,
            state="preliminary",
            reasons=[reason("from_the_copy", WHY), *meter_reasons(absent)],
            notes=[*tenant_notes(lines), *clock_notes(period.hours, days)],
            figures=flat,
            coverage={},
            previous=self._comparison(before(self._wanted.label)),
            year_ago=self._comparison(year_before(self._wanted.label)),
            months=[],
            days=self._days(),
            hours=self._hours(),
            meters=meter_lines(site, span, {}, self._last_day()),
            terms=terms_of(site, span),
            carbon=self._carbon(flat),
            invoices=[],
            gpus=fleet(lines),
            tenants=settled_lines(lines, retired, self._currency()),
            water_liters=water,
            water_discharge_liters=None,
            quality=self._quality(flat, minutes, flags),
            method=Method(
                version=METHOD, pue_category=_whole(flat.get("pue_category")),
                overhead_rule=OVERHEAD_RULE, battery_rule=BATTERY_RULE,
                matching_rule=MATCHING_RULE, factors=[],
            ),
            eu=eu_from(
                flat, site, None if site.contracts else retired,
                flat.get("matched_watt_hours") if site.contracts else 0.0,
            ),
            export_cap_ratio=rules.export_cap_ratio,
            proof=Proof(
                source="copy", entry=self._copy.entry(span), hash=None, software="",
                tz_version="", topology=dict(sorted(site.files.items())), factors=[], bases=[],
            ),
        )  # fmt: skip

    def _month(self, label: str) -> Fields | None:
        span = span_named(label, self._zone)
        return self._copy.spans("1mo", span).get(span.start_ms)

    def _comparison(self, label: str) -> Comparison:
        found = self._month(label)
        if found is not None:
            found["pue_uncertainty_ratio"] = None  # as in the report of the ledger
        return Comparison(label=label, available=found is not None, figures=found or {})

    def _days(self) -> list[SpanFigures]:
        starts = self._copy.spans("1d", self._span)
        found = []
        for start, figures in starts.items():
            begin = datetime.fromtimestamp(start / 1000, self._zone)
            end = datetime.combine(begin.date() + timedelta(days=1), begin.timetz(), self._zone)
            end_ms = round(end.timestamp() * 1000)
            found.append(
                SpanFigures(
                    label=begin.date().isoformat(),
                    start=stamp(start, self._zone),
                    end=stamp(end_ms, self._zone),
                    hours=(end_ms - start) / HOUR_MS,
                    figures=figures,
                )
            )
        return found

    def _hours(self) -> list[HourFigures]:
        found = []
        for start, figures in self._copy.spans("1h", self._span).items():
            begin = stamp(start, self._zone)
            names = {one for one in HourFigures.model_fields if one not in {"start", "day", "hour"}}
            values = {name: figures.get(_OF_HOURS.get(name, name)) for name in names}
            found.append(HourFigures(start=begin, day=begin[:10], hour=int(begin[11:13]), **values))
        return found

    def _tenants(self) -> list[TenantLine]:
        titles = {one.id: one.name for one in self._site.tenants}
        countries = {one.id: one.country for one in self._site.tenants}
        countries.setdefault(OPERATOR, self._site.country)
        prices = self._prices()
        lines = []
        for point in self._copy.points(f"{TENANTS}_1mo", self._span):
            name, figures = str(point.columns["tenant"]), point.figures
            if point.time_ms != self._span.start_ms:
                continue
            country = countries.get(name)
            lines.append(
                TenantLine(
                    id=name,
                    name=titles.get(name, ""),
                    kind=str(point.columns.get("kind") or "operator"),
                    country=country,
                    it_watt_hours=figures.get("it_watt_hours"),
                    overhead_watt_hours=figures.get("overhead_watt_hours"),
                    load_watt_hours=figures.get("energy_watt_hours"),
                    rounded_kilowatt_hours=None,
                    gpu_hours=figures.get("gpu_hours"),
                    carbon_life_cycle_grams=figures.get("carbon_life_cycle_grams"),
                    carbon_operational_grams=figures.get("carbon_operational_grams"),
                    carbon_free_watt_hours=figures.get("carbon_free_watt_hours"),
                    origins_watt_hours=_origins(point),
                    certificates_watt_hours=None,
                    coverage_ratio=float(point.columns.get("coverage_ratio") or 0.0),
                    price=prices.get(name),
                )
            )
        return lines

    def _prices(self) -> dict[str, float]:
        """What tenants pay, of their quarter hours."""
        tariff = self._wanted.tariff
        if tariff is None:
            return {}
        parts: dict[str, list[float]] = {}
        for point in self._copy.points(TENANTS, self._span):
            load = point.figures.get("energy_watt_hours")
            if load is not None:
                cost = load / 1000.0 * tariff.price(point.time_ms, self._zone)
                parts.setdefault(str(point.columns["tenant"]), []).append(cost)
        return {name: fsum(costs) for name, costs in parts.items()}

    def _currency(self) -> str | None:
        return None if self._wanted.tariff is None else self._wanted.tariff.currency

    def _carbon(self, flat: Fields) -> Carbon:
        return Carbon(
            scope_1_grams=flat.get("scope_1_grams"),
            scope_2_location_grams=flat.get("scope_2_location_grams"),
            scope_2_market_grams=flat.get("scope_2_market_grams"),
            scope_2_market_proposed_grams=flat.get("scope_2_market_proposed_grams"),
            life_cycle_grams=flat.get("carbon_life_cycle_grams"),
            operational_grams=flat.get("carbon_operational_grams"),
            market_note=None,
            contracted_watt_hours=None,
            certified_watt_hours=None,
            rest_watt_hours=None,
            sold_watt_hours=None,
            excludes=EXCLUDES,
            contracts=[],
            certificates=certificate_lines(self._site, self._span),
        )

    def _quality(self, flat: Fields, minutes: int, flags: dict[str, int]) -> Quality:
        return Quality(
            completeness_ratio=flat.get("completeness_ratio"),
            estimated_ratio=None,
            intervals=minutes,
            expected_intervals=(self._span.end_ms - self._span.start_ms) // INTERVAL_MS,
            restated_intervals=int(flat.get("restated_intervals") or 0),
            restatements=[],
            flags=flags,
            lost=[],
            held={},
            residual_ratio=flat.get("residual_ratio"),
            residual_month_flag=False,
        )

    def _period(self, minutes: int) -> Period:
        span = self._span
        length = span.end_ms - span.start_ms
        return Period(
            kind="month",
            label=self._wanted.label,
            start=stamp(span.start_ms, self._zone),
            end=stamp(span.end_ms, self._zone),
            start_ms=span.start_ms,
            end_ms=span.end_ms,
            hours=length / HOUR_MS,
            booked_ratio=minutes * INTERVAL_MS / length,
        )

    def _waters(self, flat: Mapping[str, Any]) -> list[str]:
        names = [name for name in flat if name.startswith("water_") and name != "water_liters"]
        return sorted(name.removeprefix("water_").removesuffix("_liters") for name in names)

    def _first_day(self) -> date:
        return datetime.fromtimestamp(self._span.start_ms / 1000, self._zone).date()

    def _last_day(self) -> date:
        return datetime.fromtimestamp((self._span.end_ms - 1) / 1000, self._zone).date()


def _origins(point: Point) -> dict[str, float | None]:
    return {
        name.removeprefix(_ORIGIN).removesuffix(_ENERGY): value
        for name, value in sorted(point.figures.items())
        if name.startswith(_ORIGIN)
    }


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def compare_with_copy(report: Report, again: Report) -> Verdict:
    """Compare a report, of the ledger or of the copy, with what the copy says now.

    Only what the copy holds: figures of the month, of its days and hours, of earlier months, and
    tenants' sums. Numbers may differ in their last digits.

    Args:
        report: The report.
        again: The one that the copy gives now.
    """
    findings: list[str] = []
    compared = 0
    for path, before_, after in _values(report, again):
        compared += 1
        same = before_ == after
        if isinstance(before_, float | int) and isinstance(after, float | int):
            same = isclose(before_, after, rel_tol=_CLOSE, abs_tol=_CLOSE)
        if not same and len(findings) < _MOST:
            findings.append(f"{path}: the report says {_shown(before_)}, the copy {_shown(after)}")
    return Verdict(findings, compared, 0, {})


def _values(report: Report, again: Report) -> Iterator[tuple[str, Any, Any]]:
    for name in ("figures", "previous", "year_ago"):
        mine, other = getattr(report, name), getattr(again, name)
        if name != "figures":
            mine, other = getattr(mine, "figures", {}), getattr(other, "figures", {})
        yield from _figures(name, mine, other)
    mine_days = {one.label: one.figures for one in report.days}
    other_days = {one.label: one.figures for one in again.days}
    yield "days", sorted(mine_days), sorted(other_days)
    for label in sorted(mine_days.keys() & other_days.keys()):
        yield from _figures(f"days[{label}]", mine_days[label], other_days[label])
    mine_hours = {one.start: one for one in report.hours}
    other_hours = {one.start: one for one in again.hours}
    yield "hours", sorted(mine_hours), sorted(other_hours)
    for start in sorted(mine_hours.keys() & other_hours.keys()):
        mine, other = mine_hours[start].model_dump(), other_hours[start].model_dump()
        yield from _figures(f"hours[{start}]", mine, other)
    mine_lines = {one.id: one for one in report.tenants}
    other_lines = {one.id: one for one in again.tenants}
    yield "tenants", sorted(mine_lines), sorted(other_lines)
    for name in sorted(mine_lines.keys() & other_lines.keys()):
        mine, other = mine_lines[name].model_dump(), other_lines[name].model_dump()
        yield from _figures(f"tenants[{name}]", mine, other)


def _figures(
    path: str, mine: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    for name in mine:
        value, copied = mine[name], other.get(name)
        if isinstance(value, dict):
            yield from _figures(f"{path}.{name}", value, copied or {})
        else:
            yield f"{path}.{name}", value, copied


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} of them"
    return "nothing" if value is None else str(value)
