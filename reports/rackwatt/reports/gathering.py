# SPDX-License-Identifier: Apache-2.0
"""Reads a span of the books once, and keeps sums: of hours, days, and the whole."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo

from rackwatt.collector.accounting.accumulator import Accumulator
from rackwatt.collector.accounting.booked import BookedInterval
from rackwatt.collector.accounting.calendar import Span, spans
from rackwatt.collector.accounting.claims import HourMatch, hour_of
from rackwatt.collector.accounting.figures import PeriodFigures
from rackwatt.collector.accounting.keyfigures import REPORTED_COVERAGE
from rackwatt.collector.accounting.period import UPS_REST_MS, figures, hour_matches, ups_open_at
from rackwatt.collector.accounting.rules import Outside, Rules
from rackwatt.collector.accounting.sums import ExactSum
from rackwatt.collector.accounting.vocabulary import HOUR_MS, total
from rackwatt.collector.ledger.by_meter import MeterSums
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.ledger.view import booked

ESTIMATED = "estimated"
Told = Callable[[int], None]


@dataclass(slots=True)
class Part:
    """Sums over a span.

    Attributes:
        span: Which.
        sums: What is booked in it.
        ups_open: A UPS was discharging, or not recharged, when it began.
        meters: Energies by flow and meter.
    """

    span: Span
    sums: Accumulator = field(default_factory=Accumulator)
    ups_open: bool = False
    meters: MeterSums = field(default_factory=MeterSums)


@dataclass(slots=True)
class Gathered:
    """What a span of the books holds.

    Attributes:
        hours: UTC hours, cut where a local day begins; those in which something is booked.
        days: Local days in which something is booked.
        whole: All of it.
        matches: Claims of whole UTC hours, where the site has contracts.
        claimed: What contracts' plants gave, Wh, by contract: of the hours that are known.
        claims_known: How many hours these are, by contract.
        claims_hours: How many hours have a claim.
        entry: The last entry of the journal that is in it.
        causes: Restated intervals by cause and author.
        estimated: Load of intervals in which energy was estimated, Wh.
        load: Load of all intervals in which it is known, Wh.
        first_ms: Where its first interval begins; ``None`` without any.
        last_ms: Where its last one ends.
        seqs: The entries of all rows.
    """

    whole: Part
    hours: list[Part] = field(default_factory=list)
    days: list[Part] = field(default_factory=list)
    matches: dict[int, HourMatch] = field(default_factory=dict)
    claimed: dict[str, ExactSum] = field(default_factory=dict)
    claims_known: Counter[str] = field(default_factory=Counter)
    claims_hours: int = 0
    entry: int = 0
    causes: Counter[tuple[str, str]] = field(default_factory=Counter)
    estimated: ExactSum = field(default_factory=ExactSum)
    load: ExactSum = field(default_factory=ExactSum)
    first_ms: int | None = None
    last_ms: int | None = None
    seqs: set[int] = field(default_factory=set)

    def figures(self, part: Part, rules: Rules) -> PeriodFigures:
        """The figures of a part of it, by the functions of `rackwatt ledger show`."""
        span = part.span
        outside = Outside(
            span.start_ms,
            span.end_ms,
            part.ups_open,
            self.matches or None,
            by_meter=part.meters.over(span.start_ms, span.end_ms),
        )
        return figures(part.sums, rules, outside)

    def given(self, contract: str) -> float | None:
        """What a contract's plant gave, Wh; ``None`` where less than 95 % of it is known."""
        known = self.claims_known[contract]
        if not self.claims_hours or known < REPORTED_COVERAGE * self.claims_hours:
            return None
        return self.claimed[contract].value

    def take_claims(self, other: "Gathered") -> None:
        """Add another span's claims, matched and given."""
        self.matches |= other.matches
        for name, part in other.claimed.items():
            self.claimed.setdefault(name, ExactSum()).merge(part)
        self.claims_known += other.claims_known
        self.claims_hours += other.claims_hours


Rows = Callable[[int, int], Iterator[LedgerRow]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be read.

    Attributes:
        span: Of when; half-open.
        zone: The site's.
        rules: What the site says of its figures.
        hourly: Keep sums of hours.
        told: Is called with the time that was reached, for people who wait.
    """

    span: Span
    zone: tzinfo
    rules: Rules
    hourly: bool = True
    told: Told = lambda _time_ms: None


def gather(rows: Rows, asked: Asked) -> Gathered:
    """Read a span of the books.

    Args:
        rows: Reads the latest revisions of a half-open span, in order.
        asked: What.
    """
    span = asked.span
    found = Gathered(Part(span))
    reading = _Reading(rows, asked, found)
    for day in spans(span.start_ms, span.end_ms, "1d", asked.zone):
        asked.told(day.start_ms)
        reading.day(day)
    if asked.rules.contracts:
        _match(rows, span, found, reading.claims)
    for part in found.days:
        found.whole.sums.merge(part.sums)
    if found.days and found.days[0].span.start_ms == span.start_ms:
        found.whole.ups_open = found.days[0].ups_open
    return found


class _Reading:
    """Goes through the rows, day by day."""

    def __init__(self, rows: Rows, asked: Asked, found: Gathered) -> None:
        self._rows = rows
        self._asked = asked
        self._found = found
        start = asked.span.start_ms
        self._before = Accumulator(booked(row) for row in rows(start - UPS_REST_MS, start))
        self.claims: dict[int, list[BookedInterval]] = {}

    def day(self, day: Span) -> None:
        """Read one local day."""
        part = Part(day, ups_open=ups_open_at(self._before, day.start_ms))
        hours: dict[int, Part] = {}
        for row in self._rows(day.start_ms, day.end_ms):
            one = booked(row)
            self._note(row, one)
            if not self._asked.hourly:
                part.sums.add(one)
                continue
            start = max(hour_of(one.start_ms), day.start_ms)
            hour = hours.get(start)
            if hour is None:
                hour = hours[start] = Part(self._hour(start, day))
            hour.sums.add(one)
        for start, hour in hours.items():
            so_far = part.sums if part.sums.sums.count else self._before
            hour.ups_open = ups_open_at(so_far, start)
            part.sums.merge(hour.sums)
        if not part.sums.sums.count:
            return
        self._before = part.sums
        self._found.days.append(part)
        self._found.hours += hours.values()

    def _hour(self, start_ms: int, day: Span) -> Span:
        end = min(hour_of(start_ms) + HOUR_MS, day.end_ms)
        return Span(start_ms, end, day.label)

    def _note(self, row: LedgerRow, one: BookedInterval) -> None:
        found = self._found
        found.entry = max(found.entry, row.seq)
        found.seqs.add(row.seq)
        if found.first_ms is None:
            found.first_ms = row.start_ms
        found.last_ms = row.end_ms
        if row.restated:
            found.causes[row.cause, row.author] += 1
        if one.load is not None:
            found.load.extend([one.load])
            if ESTIMATED in one.flags:
                found.estimated.extend([one.load])
        if self._asked.rules.contracts:
            self.claims.setdefault(hour_of(one.start_ms), []).append(one)


def _match(
    rows: Rows, span: Span, found: Gathered, claims: Mapping[int, list[BookedInterval]]
) -> None:
    """Match claims in whole hours, whatever part of one the span holds."""
    for start, inside in claims.items():
        cut = start < span.start_ms or start + HOUR_MS > span.end_ms
        members = [booked(row) for row in rows(start, start + HOUR_MS)] if cut else inside
        found.matches |= hour_matches(members)
        found.claims_hours += 1
        for name in {name for one in inside for name in one.claims}:
            given = total(one.claims.get(name, 0.0) for one in inside)
            if given is not None:
                # A plant that draws its own needs at night gives nothing: nobody owes a claim.
                found.claimed.setdefault(name, ExactSum()).extend([max(given, 0.0)])
                found.claims_known[name] += 1
