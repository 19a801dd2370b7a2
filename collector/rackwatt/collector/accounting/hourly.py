# SPDX-License-Identifier: Apache-2.0
"""What is formed hour by hour: matched claims, the carbon-free score, market-based scope 2."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from rackwatt.collector.accounting.cfe import CfeHour
from rackwatt.collector.accounting.claims import NO_CLAIMS, HourMatch, Match, match
from rackwatt.collector.accounting.market import (
    Certificate,
    Market,
    MarketHour,
    SoldOutput,
    market_based,
    retired_energy,
    retired_part,
)
from rackwatt.collector.accounting.tallies import HourSums
from rackwatt.collector.accounting.vocabulary import HOUR_MS, total


@dataclass(frozen=True, slots=True)
class Hour:
    """One UTC hour, or the part of it that a period holds.

    Attributes:
        start_ms: When the UTC hour begins.
        milliseconds: How much of it is booked.
        import_ms: For how much of it import and claims are known; without a contract nothing hangs
            on the whole hour's import, so that is where the import is known.
        imported: Gross import, Wh.
        location: The same at the grid's direct factor, g.
        load: The data center's consumption, Wh.
        boundary: ``E_DC``, Wh.
        met: Carbon-free energy in the load, without the direct import's part, Wh.
        grid_carbon_free: The grid's carbon-free part, 0..1, its mean over time.
        claims: The import matched by contracts; ``None`` if unknown.
    """

    start_ms: int
    milliseconds: int
    import_ms: int
    imported: float | None
    location: float | None
    load: float | None
    boundary: float | None
    met: float | None
    grid_carbon_free: float | None
    claims: Match | None

    @property
    def cfe(self) -> CfeHour:
        """The hour as the carbon-free score reads it."""
        matched = None if self.claims is None else self.claims.total
        return CfeHour(self.load, total((self.met, matched)), self.grid_carbon_free)

    def market(self, proven: Mapping[str, float]) -> MarketHour | None:
        """The hour as the market sees it; ``None`` if its import or a claim is unknown.

        Args:
            proven: By contract, the part of its claim that counts.
        """
        if self.imported is None or self.claims is None:
            return None
        matched = self.claims.total
        if any(part < 1.0 for part in proven.values()):
            claims = self.claims.matched.items()
            matched = fsum(amount * proven.get(name, 1.0) for name, amount in claims)
        return MarketHour(self.imported, self.location, matched)


def hours_of(
    hours: Mapping[int, HourSums], whole: Mapping[int, HourMatch] | None = None
) -> list[Hour]:
    """Return the hours in order, with their claims matched.

    Args:
        hours: What a period holds of each UTC hour, by its start.
        whole: The match of whole hours of which the period holds only a part.
    """
    return [_hour(start, hours[start], (whole or {}).get(start)) for start in sorted(hours)]


def _hour(start: int, held: HourSums, whole: HourMatch | None) -> Hour:
    whole_hour = bool(held.claims)
    imported = held.value("source:grid" if whole_hour else "import")
    weighted = held.value("ratio_ms")
    return Hour(
        start_ms=start,
        milliseconds=held.milliseconds,
        import_ms=held.milliseconds if whole_hour else round(held.value("import_ms") or 0.0),
        imported=imported,
        location=held.value("scope_2" if whole_hour else "import_mass"),
        load=held.value("load"),
        boundary=held.value("boundary"),
        met=held.value("met_by_own"),
        grid_carbon_free=None if weighted is None else weighted / held.milliseconds,
        claims=_claims(held, imported) if whole is None else whole.part(imported),
    )


def _claims(held: HourSums, imported: float | None) -> Match | None:
    if not held.claims:
        return NO_CLAIMS
    given: dict[str, float] = {}
    for contract in sorted(held.claims):
        amount = held.value(f"claim:{contract}")
        if amount is None:
            return None
        given[contract] = amount
    return None if imported is None else match(given, imported)


@dataclass(frozen=True, slots=True)
class Claimed:
    """Matched claims of a period over the hours in which they are known.

    Attributes:
        matched: Wh.
        surplus: Claimed beyond the import, Wh.
        contracts: Matched by contract, Wh.
        known_ms: How long those hours are.
        boundary: ``E_DC`` of the hours in which it is known too, Wh.
        matched_inside: Matched in those, Wh.
        inside_ms: How long those are.
    """

    matched: float
    surplus: float
    contracts: Mapping[str, float]
    known_ms: int
    boundary: float
    matched_inside: float
    inside_ms: int


def claimed(hours: Sequence[Hour]) -> Claimed:
    """Sum the matches of hours."""
    known = [(hour, hour.claims) for hour in hours if hour.claims is not None]
    names = sorted({name for _, found in known for name in found.matched})
    inside = [
        (hour.boundary, found.total, hour.milliseconds)
        for hour, found in known
        if hour.boundary is not None
    ]
    return Claimed(
        fsum(found.total for _, found in known),
        fsum(found.surplus for _, found in known),
        {name: fsum(found.matched.get(name, 0.0) for _, found in known) for name in names},
        sum(hour.milliseconds for hour, _ in known),
        fsum(boundary for boundary, _, _ in inside),
        fsum(matched for _, matched, _ in inside),
        sum(ms for _, _, ms in inside),
    )


@dataclass(frozen=True, slots=True)
class Markets:
    """Market-based scope 2 by both methods.

    Attributes:
        in_force: Under the standard in force: certificates by volume.
        proposed: Hourly, as proposed: certificates only in their hour. Never signed.
        known_ms: How long the hours are in which import and claims are known.
    """

    in_force: Market
    proposed: Market
    known_ms: int


def markets(
    hours: Sequence[Hour],
    span: tuple[int, int],
    certificates: Sequence[Certificate],
    contracts: Collection[str],
    residual_factor: float | None,
    sold: SoldOutput,
) -> Markets:
    """Return market-based scope 2 of a period.

    Args:
        hours: Its hours.
        span: Its begin and end, ms since 1970 UTC.
        certificates: Retired or not.
        contracts: Contracts whose claims are matched: their certificates add nothing, and where
            they are listed and not retired, their claims cover nothing.
        residual_factor: The published residual mix, g/kWh.
        sold: Own output whose attributes are not the site's.
    """
    start, end = span
    volume = retired_energy(certificates, start, end, contracts)
    fine = [one for one in certificates if one.hourly]
    plain: list[MarketHour] = []
    timed: list[MarketHour] = []
    known_ms = 0
    names = {name for hour in hours if hour.claims is not None for name in hour.claims.matched}
    proven = {name: retired_part(certificates, name, start, end) for name in sorted(names)}
    for hour in hours:
        found = hour.market(proven)
        if found is None:
            continue
        known_ms += hour.import_ms
        plain.append(found)
        until = hour.start_ms + HOUR_MS
        certified = retired_energy(fine, hour.start_ms, until, contracts) if fine else 0.0
        timed.append(MarketHour(found.imported, found.location, found.matched, certified))
    return Markets(
        market_based(plain, residual_factor=residual_factor, certificates=volume, sold=sold),
        market_based(timed, residual_factor=residual_factor, sold=sold, hourly=True),
        known_ms,
    )
