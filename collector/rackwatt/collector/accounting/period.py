# SPDX-License-Identifier: Apache-2.0
"""The figures of a period: every one a sum, or a ratio of sums, with its coverage.

A figure is formed over exactly the intervals in which all its terms are known. Below a coverage of
95 % it is null; from 99 % it can be signed. Claims and the hourly score are matched per UTC hour;
of an hour that a period cuts, the part within it is matched by itself, unless the whole hour's
match is given.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from math import fsum, isfinite
from typing import Final

from rackwatt.collector.accounting.accumulator import Accumulator, Sums
from rackwatt.collector.accounting.booked import BookedInterval
from rackwatt.collector.accounting.cfe import score
from rackwatt.collector.accounting.claims import HourMatch, hour_of, match_hour
from rackwatt.collector.accounting.export import ExportRatio
from rackwatt.collector.accounting.figures import Figure, PeriodFigures, PeriodPue, figure
from rackwatt.collector.accounting.fuels import burnt, scope_1
from rackwatt.collector.accounting.hourly import Claimed, Hour, Markets, claimed, hours_of, markets
from rackwatt.collector.accounting.keyfigures import (
    Ratio,
    Shares,
    erf,
    pue_reason,
    ref,
    retained,
    shares,
    weakest_category,
    wue,
)
from rackwatt.collector.accounting.market import Certificate, SoldOutput
from rackwatt.collector.accounting.pue_meters import ROLE_OF, pue_uncertainty
from rackwatt.collector.accounting.rules import Outside, Rules
from rackwatt.collector.accounting.tallies import Tally
from rackwatt.collector.accounting.vocabulary import (
    DAY_MS,
    ORIGINS,
    RENEWABLE,
    SERIES,
    SINKS,
    SOURCES,
    WATER_OUT,
    WATER_SOURCES,
)

__all__ = [
    "Accumulator",
    "BookedInterval",
    "Certificate",
    "Figure",
    "Outside",
    "PeriodFigures",
    "PeriodPue",
    "Rules",
    "figures",
    "hour_matches",
    "period",
    "ups_open_at",
]

UPS_REST_MS: Final = 15 * 60_000
"""After so long on the mains a UPS counts as recharged, unless its row says otherwise."""

UPS_MATTERS_MS: Final = 28 * DAY_MS
"""From a month on, what a UPS owes at its edges is far below the uncertainty of the meters."""

YEAR_MS: Final = 365 * DAY_MS
"""The PUE of anything shorter is an interim one."""

_NOTHING_ELSE: Final = Outside()
_GIVEN_BACK: Final = f"water:{WATER_OUT}"


def period(
    intervals: Iterable[BookedInterval], rules: Rules, outside: Outside = _NOTHING_ELSE
) -> PeriodFigures:
    """Return the figures of intervals, each in its latest revision, in any order."""
    return figures(Accumulator(intervals), rules, outside)


def figures(
    accumulator: Accumulator, rules: Rules, outside: Outside = _NOTHING_ELSE
) -> PeriodFigures:
    """Return the figures of what was added up."""
    return _Books(accumulator.sums, rules, outside).figures()


def hour_matches(intervals: Iterable[BookedInterval]) -> dict[int, HourMatch]:
    """Match the claims of whole UTC hours, by their start, for periods that cut them.

    Args:
        intervals: All intervals of those hours, in order.
    """
    found: dict[int, HourMatch] = {}
    for start, members in groupby(intervals, key=lambda one: hour_of(one.start_ms)):
        own = list(members)
        imports = [one.sources.get("grid", 0.0) for one in own]
        found[start] = match_hour([one.claims for one in own], imports)
    return found


def ups_open_at(accumulator: Accumulator, time_ms: int) -> bool:
    """Return whether a UPS owes its battery energy at the end of what was added up."""
    last = accumulator.sums.ups_ms
    return last is not None and time_ms - last < UPS_REST_MS


class _Books:
    """The sums of one period, being read."""

    def __init__(self, sums: Sums, rules: Rules, outside: Outside) -> None:
        self._sums = sums
        self._rules = rules
        self._outside = outside
        first, last = sums.first_ms or 0, sums.last_ms or 0
        self._start = first if outside.start_ms is None else outside.start_ms
        self._end = last if outside.end_ms is None else outside.end_ms
        bounded = outside.start_ms is not None or outside.end_ms is not None
        self._whole = self._end - self._start if bounded else sums.milliseconds

    def figures(self) -> PeriodFigures:
        """Return all figures."""
        sums = self._sums
        hours = hours_of(sums.hours, self._outside.whole_hours)
        claims = claimed(hours)
        market, sold_coverage = self._markets(hours)
        market_coverage = min(self._part(market.known_ms), sold_coverage)
        after = self._tally("after_losses_ratio")
        off = abs(after.value(0)) > self._rules.residual_limit_ratio * after.value(1)
        seen = sums.seen
        explained = "losses_modelled" in seen
        return PeriodFigures(
            start_ms=self._start,
            end_ms=self._end,
            intervals=sums.count,
            restated=sums.restated,
            completeness=sums.completeness.value / self._whole if self._whole else None,
            flags=dict(sorted(sums.flags.items())),
            sources={name: self._sum(f"source:{name}") for name in SOURCES if name in seen},
            sinks={name: self._sum(f"sink:{name}") for name in SINKS if name in seen},
            charge=self._sum("charge"),
            discharge=self._sum("discharge"),
            stock_change=self._sum("stock_change"),
            load=self._sum("load"),
            it=self._sum("it"),
            boundary=self._sum("boundary"),
            unmetered=self._sum("unmetered"),
            unknown=self._sum("unknown"),
            beyond=self._sum("beyond"),
            residual=self._sum("residual"),
            residual_ratio=self._ratio("residual_ratio"),
            residual_month_flag=off and after.known_ms >= DAY_MS,
            pue=self._pue(),
            shares=self._shares(claims),
            shares_coverage=self._part(self._tally("origins").known_ms),
            origins={o: self._sum("origins", i + 1) for i, o in enumerate(ORIGINS)},
            carbon={series: self._sum(f"carbon:{series}") for series in SERIES},
            intensity={series: self._ratio(f"intensity:{series}", 1000.0) for series in SERIES},
            cue={series: self._ratio(f"cue:{series}") for series in SERIES},
            scope_1=self._scope_1(),
            scope_2_location=self._sum("scope_2"),
            scope_2_market=self._figure(market.in_force.grams, market_coverage),
            scope_2_proposed=self._figure(market.proposed.grams, market_coverage),
            market=market.in_force,
            ref=self._ref(market),
            erf=self._erf(),
            wue=self._wue(),
            cfe_ratio=self._cfe(hours),
            matched=self._figure(claims.matched, self._part(claims.known_ms)),
            surplus=self._figure(claims.surplus, self._part(claims.known_ms)),
            matched_by_contract=claims.contracts,
            export=self._export(),
            water={n: self._sum(f"water:{n}") for n in WATER_SOURCES if f"water:{n}" in seen},
            water_discharge=self._sum(_GIVEN_BACK) if _GIVEN_BACK in seen else None,
            heat_reused=self._sum("heat_reused") if "heat_reused" in seen else None,
            losses_modelled=self._sum("losses_modelled") if explained else None,
            after_losses=self._sum("after_losses") if explained else None,
            after_losses_ratio=self._ratio("after_losses_ratio") if explained else None,
        )

    def _tally(self, name: str) -> Tally:
        return self._sums.tallies[name]

    def _part(self, known_ms: int) -> float:
        """Return how much of the period something covers, 0..1."""
        return known_ms / self._whole if self._whole else 0.0

    def _figure(self, value: float | None, coverage: float) -> Figure:
        return figure(value, coverage, self._rules.coverage)

    def _sum(self, name: str, index: int = 0) -> Figure:
        tally = self._tally(name)
        known = tally.value(index) if tally.known_ms else None
        return self._figure(known, self._part(tally.known_ms))

    def _ratio(self, name: str, unit: float = 1.0) -> Figure:
        """Return the ratio of the two columns of a tally."""
        tally = self._tally(name)
        over, under = tally.value(0), tally.value(1)
        ratio = unit * over / under if under > 0.0 else None
        # Over next to nothing a ratio says nothing, and no infinity may get into a store.
        known = None if ratio is None or not isfinite(ratio) else ratio
        return self._figure(known, self._part(tally.known_ms))

    def _over(
        self,
        name: str,
        form: Callable[[float | None, float | None], float | None],
        amount: float | None,
    ) -> Figure:
        """Return what was told for the whole period over a sum."""
        below = self._sum(name)
        return self._figure(form(amount, below.known), below.coverage)

    def _wue(self) -> Figure:
        """Fresh water over IT."""
        if "water:fresh" in self._sums.seen:
            return self._ratio("wue", 1000.0)
        return self._over("it", wue, self._outside.water_liters)

    def _erf(self) -> Figure:
        if "heat_reused" in self._sums.seen:
            return self._ratio("erf")
        return self._over("boundary", erf, self._outside.reused_watt_hours)

    def _pue(self) -> PeriodPue:
        tally = self._tally("pue")
        ratio, external = self._ratio("pue"), self._ratio("pue_external")
        reason = pue_reason(
            Ratio(ratio.known, ratio.coverage, tally.value(0), tally.value(1)),
            ups_open=self._cut_by_ups(),
            minimum=self._rules.coverage,
        )
        return PeriodPue(
            value=None if reason else ratio.value,
            external=None if reason else external.value,
            category=weakest_category(self._sums.categories),
            interim=self._end - self._start < YEAR_MS,
            coverage=ratio.coverage,
            reason=reason,
            uncertainty=None if reason else self._uncertainty(),
        )

    def _cut_by_ups(self) -> bool:
        """Whether one edge lies between a UPS's discharge and its recharge, and that matters."""
        if self._end - self._start >= UPS_MATTERS_MS:
            return False
        last = self._sums.ups_ms
        ends = last is not None and self._end - last < UPS_REST_MS
        return ends or self._outside.ups_open_before

    def _uncertainty(self) -> float | None:
        named = {"it": "it", "export": "sink:export", "campus": "sink:campus"}
        flows = {
            flow: self._tally(
                flow if flow in {"charge", "discharge"} else named.get(flow, f"source:{flow}")
            ).value()
            for flow in ROLE_OF
        }
        return pue_uncertainty(flows, self._rules.meters, self._outside.by_meter)

    def _shares(self, claims: Claimed) -> Shares:
        tally = self._tally("origins")
        load = tally.value(0)
        if self._part(tally.known_ms) < self._rules.coverage or load <= 0.0:
            return Shares()
        mix = {origin: tally.value(i + 1) / load for i, origin in enumerate(ORIGINS)}
        contracted = None
        if self._part(claims.inside_ms) >= self._rules.coverage and claims.boundary > 0.0:
            contracted = claims.matched_inside / claims.boundary
        free = self._ratio("carbon_free_ratio").value
        found = shares(mix, None, contracted, self._rules.attributes)
        return replace(found, carbon_free=free, carbon=None if free is None else 1.0 - free)

    def _markets(self, hours: Sequence[Hour]) -> tuple[Markets, float]:
        """Return market-based scope 2, and how much of the period the sold output covers."""
        rules = self._rules
        names = [
            name
            for name in RENEWABLE
            if name in self._sums.seen and not retained(name, rules.attributes)
        ]
        energies = [self._sum(f"kept:{name}") for name in names]
        masses = [self._sum(f"kept_mass:{name}") for name in names]
        known = [mass.value for mass in masses if mass.value is not None]
        sold = SoldOutput(
            fsum(energy.known or 0.0 for energy in energies),
            fsum(known) if len(known) == len(masses) else None,
        )
        span = self._start, self._end
        found = markets(
            hours, span, rules.certificates, rules.contracts, rules.residual_factor, sold
        )
        return found, min((energy.coverage for energy in energies), default=1.0)

    def _export(self) -> ExportRatio:
        tally, ratio = self._tally("export"), self._ratio("export")
        exported, produced = tally.value(0), tally.value(1)
        cap = self._rules.export_cap_ratio
        return ExportRatio(ratio.value, ratio.coverage, exported, produced, cap)

    def _ref(self, market: Markets) -> Figure:
        tally = self._tally("ref")
        by_origin = {origin: tally.value(i + 1) for i, origin in enumerate(ORIGINS)}
        own = fsum(by_origin[n] for n in RENEWABLE if retained(n, self._rules.attributes))
        covered = market.in_force.contracted + market.in_force.certified
        value = ref(own, covered, by_origin["grid"], tally.value(0))
        return self._figure(value, min(self._part(tally.known_ms), self._part(market.known_ms)))

    def _cfe(self, hours: Sequence[Hour]) -> Figure:
        rows = [(hour.cfe, hour.milliseconds) for hour in hours]
        known = sum(ms for one, ms in rows if one.met is not None)
        return self._figure(score([one for one, _ in rows]).value, self._part(known))

    def _scope_1(self) -> Figure:
        uses, coverage = self._outside.fuels, 1.0
        if not uses:
            uses, coverage = burnt(self._rules.fuel, self._start, self._end)
        if uses and coverage >= self._rules.coverage:
            return self._figure(scope_1(uses, self._rules.fuel_factors), coverage)
        given = self._sum("source:genset")
        factor = self._rules.genset_direct
        if given.known == 0.0:
            return given
        if given.known is None or factor is None:
            return self._figure(None, given.coverage)
        return self._figure(given.known * factor / 1000.0, given.coverage)
