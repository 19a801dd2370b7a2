# SPDX-License-Identifier: Apache-2.0
"""Makes a report's document from the book of record and the site's file, and from nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

from rackwatt.collector.accounting.calendar import Span
from rackwatt.collector.accounting.figures import PeriodFigures
from rackwatt.collector.accounting.vocabulary import HOUR_MS
from rackwatt.collector.ledger.bases import Basis
from rackwatt.collector.ledger.by_meter import TOPOLOGY, MeterTerms
from rackwatt.collector.ledger.chain import Act
from rackwatt.collector.ledger.months import CLOSED_ACT, FINAL_ACT, RECONCILE, REOPENED_ACT
from rackwatt.collector.ledger.records import INTERVAL_MS
from rackwatt.collector.ledger.view import rules_of
from rackwatt.collector.site import Site
from rackwatt.reports.books import BooksAt
from rackwatt.reports.boundary import holes_of, meter_lines, not_in_service, terms_of
from rackwatt.reports.comparing import Compare, comparing
from rackwatt.reports.conditions import ConditionSpans
from rackwatt.reports.document import Report
from rackwatt.reports.gathering import Asked, Gathered, Part, gather
from rackwatt.reports.judging import (
    clock_notes,
    coverage_reasons,
    hole_reasons,
    invoice_reasons,
    meter_reasons,
    month_states,
    quality_reasons,
    reason,
    tenant_notes,
)
from rackwatt.reports.parts import (
    Comparison,
    LostLine,
    Method,
    Period,
    Proof,
    Quality,
    Reason,
    Restatement,
    SiteWords,
    SpanFigures,
    TenantLine,
)
from rackwatt.reports.sections import (
    carbon_of,
    coverage_of,
    eu_fields,
    hour_lines,
    invoice_lines,
    method_of,
    retired_of,
)
from rackwatt.reports.tariff import Tariff
from rackwatt.reports.tenancy import Tenancy, fleet, quarters_in, read_quarter, tenant_lines
from rackwatt.reports.times import before, months_of, span_named, stamp, year_before
from rackwatt.wire.cycles import no_search

_OF_MONTHS: Final = frozenset({CLOSED_ACT, FINAL_ACT, REOPENED_ACT})


class NothingBooked(ValueError):  # noqa: N818 - what the text is
    """The books hold nothing of the period."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be made.

    Attributes:
        label: ``2026-10`` or ``2026``.
        tariff: What tenants pay, where there is one.
        site_file: Where the site's file is: earlier months are then read in other processes.
        told: Is called with the time that was reached.
    """

    label: str
    tariff: Tariff | None = None
    site_file: Path | None = None
    told: Callable[[int], None] = lambda _time_ms: None


def make(books: BooksAt, site: Site, wanted: Wanted) -> Report:
    """Return the document of a period.

    Raises:
        NothingBooked: No interval of the period is booked.
        BadPeriod: Its label names none.
        sqlite3.Error: The ledger cannot be read.
    """
    with no_search():  # a month's sums stay until the end: a fifth of the time
        return _Maker(books, site, wanted).report()


class _Maker:
    """Makes one report."""

    def __init__(self, books: BooksAt, site: Site, wanted: Wanted) -> None:
        self._books = books
        self._site = site
        self._wanted = wanted
        self._zone = site.timezone
        self._span = span_named(wanted.label, self._zone)
        self._yearly = "-" not in wanted.label
        self._months = months_of(wanted.label, self._zone) if self._yearly else [self._span]
        self._rules = rules_of(site, self._span.end_ms - 1)
        self._terms = MeterTerms(site)
        self._entry = 0
        self._conditions = ConditionSpans()
        self._tenancy = Tenancy(quarters_in(self._span.start_ms, self._span.end_ms))

    def report(self) -> Report:
        """Return it."""
        earlier, site_file = self._earlier(), self._wanted.site_file
        with comparing(self._books, self._site, site_file, earlier) as compare:
            months = [self._gather(month) for month in self._months]
            whole = self._merged(months)
            if whole.first_ms is None:
                raise NothingBooked(self._nothing())
            found = whole.figures(whole.whole, self._rules)
            previous, *rest = [self._compared(compare, label) for label in earlier]
        year_ago = rest[0] if rest else None
        tenancy = self._tenancy
        retired = retired_of(self._rules, self._span)
        tariff = self._wanted.tariff
        currency = None if tariff is None else tariff.currency
        conditions, span = self._conditions, self._span
        lines = conditions.tenants(tenant_lines(tenancy, self._site, retired, currency))
        acts = self._acts()
        invoices = invoice_lines(acts, self._span, self._site)
        quality = self._quality(whole, found, acts)
        bases = self._bases(whole)
        method, missing = method_of(found, bases, self._span)
        coverage = coverage_of(found)
        period = self._period(whole)
        absent = not_in_service(self._site, self._span)
        reasons = [
            *month_states(acts, [month.label for month in self._months]),
            *quality_reasons(quality, period.booked_ratio),
            *coverage_reasons(coverage, found.flat()),
            *invoice_reasons(invoices),
            *meter_reasons(absent),
            *hole_reasons(self._holes()),
            *(reason("factor_missing", text, what=text) for text in missing),
        ]
        return Report(
            site=self._site_words(),
            period=period,
            state="preliminary" if reasons else "final",
            reasons=reasons,
            notes=self._notes(lines, period, bool(invoices)),
            figures=found.flat() | conditions.figures(span.start_ms, span.end_ms),
            coverage=coverage,
            previous=previous,
            year_ago=year_ago,
            months=self._parts([(one, one.whole) for one in months]) if self._yearly else [],
            days=[] if self._yearly else self._parts([(whole, part) for part in whole.days]),
            hours=hour_lines(whole, self._rules, self._site, conditions.wet_bulb),
            meters=meter_lines(
                self._site, self._span, self._energies(whole.whole), self._last_day()
            ),
            terms=terms_of(self._site, self._span),
            carbon=carbon_of(found, self._site, self._span, whole.given),
            invoices=invoices,
            gpus=conditions.fleet(fleet(lines)),
            tenants=lines,
            water_liters={name: one.value for name, one in found.water.items()},
            water_discharge_liters=(
                None if found.water_discharge is None else found.water_discharge.value
            ),
            quality=quality,
            method=method,
            eu=eu_fields(found, self._site, retired),
            export_cap_ratio=self._rules.export_cap_ratio,
            proof=self._proof(bases, method, acts),
            conditions=conditions.over(span.start_ms, span.end_ms),
        )

    def _gather(self, month: Span) -> Gathered:
        """Read a month, and the quarter hours of its days."""
        rules, zone = self._rules, self._zone
        asked = Asked(month, zone, rules, hourly=not self._yearly, told=self._wanted.told)
        found = gather(self._books.rows, asked)
        for part in found.days:
            self._quarters(part)
            found.whole.meters.merge(part.meters)
        self._entry = max(self._entry, found.entry)
        return found

    def _quarters(self, part: Part) -> None:
        tariff = self._wanted.tariff
        for seq, start, text in self._books.quarters(part.span.start_ms, part.span.end_ms):
            quarter = read_quarter(text)
            price = None if tariff is None else tariff.price(start, self._zone)
            self._tenancy.take(seq, quarter, price)
            self._conditions.take(start, quarter.conditions)
            if quarter.meters is not None and TOPOLOGY not in quarter.flags:
                part.meters.add(self._terms.read(start, quarter.meters))

    def _merged(self, months: Sequence[Gathered]) -> Gathered:
        """A year as the sum of its months; a month as it is."""
        if not self._yearly:
            return months[0]
        found = Gathered(Part(self._span))
        for month in months:
            found.whole.sums.merge(month.whole.sums)
            found.whole.meters.merge(month.whole.meters)
            found.take_claims(month)
            found.causes += month.causes
            found.estimated.merge(month.estimated)
            found.load.merge(month.load)
            found.seqs |= month.seqs
            found.days += month.days
            if found.first_ms is None:
                found.first_ms = month.first_ms
                found.whole.ups_open = month.whole.ups_open
            found.last_ms = month.last_ms or found.last_ms
        return found

    def _earlier(self) -> list[str]:
        """What to compare with: the period before; of a month, the one of last year too."""
        label = self._wanted.label
        return [before(label)] if self._yearly else [before(label), year_before(label)]

    def _compared(self, compare: Compare, label: str) -> Comparison:
        found = compare(label)
        self._entry = max(self._entry, found.entry)
        return found.comparison

    def _holes(self) -> list[tuple[str, str, str]]:
        zone = self._zone
        return [
            (role, stamp(start, zone), stamp(end, zone))
            for role, start, end in holes_of(self._site, self._span)
        ]

    def _energies(self, part: Part) -> Mapping[str, Mapping[str, float]]:
        return part.meters.over(part.span.start_ms, part.span.end_ms) or {}

    def _parts(self, parts: Sequence[tuple[Gathered, Part]]) -> list[SpanFigures]:
        return [
            SpanFigures(
                label=part.span.label,
                start=stamp(part.span.start_ms, self._zone),
                end=stamp(part.span.end_ms, self._zone),
                hours=part.span.hours,
                figures=gathered.figures(part, self._rules).flat()
                | self._conditions.figures(part.span.start_ms, part.span.end_ms),
            )
            for gathered, part in parts
            if part.sums.sums.count
        ]

    def _acts(self) -> list[Act]:
        """What was decided of the period."""
        labels = {month.label for month in self._months}
        found: list[Act] = []
        for act in self._books.acts():
            if act.name in _OF_MONTHS:
                mine = act.data.get("month") in labels
            else:
                mine = act.name == RECONCILE and (
                    act.data["start_ms"] < self._span.end_ms
                    and act.data["end_ms"] > self._span.start_ms
                )
            if mine:
                found.append(act)
        return found

    def _quality(self, whole: Gathered, found: PeriodFigures, acts: Sequence[Act]) -> Quality:
        final = [act for act in acts if act.name == FINAL_ACT]
        lost = [gap for act in final for gap in act.data.get("lost", ())]
        held: dict[str, int] = {}
        for one in self._books.held():
            if one.first_ms < self._span.end_ms and one.last_ms >= self._span.start_ms:
                held[one.agent or "?"] = held.get(one.agent or "?", 0) + one.readings
        load = whole.load.value
        return Quality(
            completeness_ratio=found.completeness,
            estimated_ratio=whole.estimated.value / load if load else None,
            intervals=found.intervals,
            expected_intervals=(self._span.end_ms - self._span.start_ms) // INTERVAL_MS,
            restated_intervals=found.restated,
            restatements=[
                Restatement(cause=cause, author=author, intervals=count)
                for (cause, author), count in sorted(whole.causes.items())
            ],
            flags=dict(found.flags),
            lost=[self._lost(gap) for gap in lost],
            held=dict(sorted(held.items())),
            residual_ratio=found.residual_ratio.value,
            residual_month_flag=found.residual_month_flag,
        )

    def _lost(self, gap: Mapping[str, object]) -> LostLine:
        start, end = gap.get("start_ms"), gap.get("end_ms")
        return LostLine(
            agent=str(gap.get("agent", "")),
            start=stamp(start, self._zone) if isinstance(start, int) and start else None,
            end=stamp(end, self._zone) if isinstance(end, int) else None,
        )

    def _bases(self, whole: Gathered) -> list[Basis]:
        """The bases under which the period's rows were booked."""
        bases = self._books.bases()
        found: dict[int, Basis] = {}
        for seq in whole.seqs:
            basis = bases.at(seq)
            if basis is not None:
                found[basis.seq] = basis
        return [found[seq] for seq in sorted(found)]

    def _period(self, whole: Gathered) -> Period:
        span = self._span
        booked = whole.whole.sums.sums.milliseconds
        return Period(
            kind="year" if self._yearly else "month",
            label=self._wanted.label,
            start=stamp(span.start_ms, self._zone),
            end=stamp(span.end_ms, self._zone),
            start_ms=span.start_ms,
            end_ms=span.end_ms,
            hours=(span.end_ms - span.start_ms) / HOUR_MS,
            booked_ratio=booked / (span.end_ms - span.start_ms),
        )

    def _last_day(self) -> date:
        return datetime.fromtimestamp((self._span.end_ms - 1) / 1000, self._zone).date()

    def _notes(self, lines: Sequence[TenantLine], period: Period, reconciled: bool) -> list[Reason]:
        first = datetime.fromtimestamp(self._span.start_ms / 1000, self._zone).date()
        days = (self._last_day() - first + timedelta(days=1)).days
        notes = [*tenant_notes(lines), *clock_notes(period.hours, days)]
        if not reconciled:
            text = "no invoice has been compared with the books: 'rackwatt ledger reconcile'"
            notes.append(reason("no_invoice", text))
        if self._site.simulated:
            notes.append(reason("simulated", "the site is simulated: no meter stands behind it"))
        return notes

    def _site_words(self) -> SiteWords:
        site = self._site
        return SiteWords(
            id=site.id,
            name=site.name or site.id,
            country=site.country,
            time_zone=site.timezone.key,
            simulated=site.simulated,
        )

    def _proof(self, bases: Sequence[Basis], method: Method, acts: Sequence[Act]) -> Proof:
        last = max((act.seq for act in acts), default=0)
        entry = max(self._entry, self._tenancy.entry, last)
        words = bases[-1].words if bases else {}
        return Proof(
            source="ledger",
            entry=entry,
            hash=self._books.hash_at(entry),
            software=str(words.get("software", "")),
            tz_version=str(words.get("tz_version", "")),
            topology=dict(sorted(self._site.files.items())),
            factors=sorted({one.version for one in method.factors}),
            bases=[basis.seq for basis in bases],
        )

    def _nothing(self) -> str:
        first, closed = self._books.first_ms(), self._books.closed_through_ms()
        label = self._wanted.label
        if first is None or closed is None:
            return f"the books are empty: there is nothing of {label} to report"
        reach = f"{stamp(first, self._zone)} to {stamp(closed, self._zone)}"
        return f"the books hold nothing of {label}: they reach from {reach}"
