# SPDX-License-Identifier: Apache-2.0
"""Scope 2 as the market sees it: what contracts and certificates cover, and what is left.

Location-based is gross import at the grid's direct factor when it was imported. Market-based is
contracts and retired certificates at their own rate, which is 0, and the rest at the residual mix
if one is published, else at the grid's average, which must be said. Own output whose attributes
were sold or never issued takes the factor of the rest: it is nobody's to call clean any more.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final

from rackwatt.collector.accounting.vocabulary import HOUR_MS

NO_RESIDUAL_MIX: Final = "no residual mix available"


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate, or a run of them under one serial.

    Attributes:
        registry: Who keeps it.
        serial: Its number there.
        source: ``pv``, ``wind``, ``hydro``, ...
        start_ms: Begin of the production that it stands for.
        end_ms: Its end.
        watt_hours: How much.
        retired_ms: When it was retired; ``None``: it was not, so it counts for nothing.
        beneficiary: For whom.
        contract: The contract that it came with, whose claim it proves and does not double.
    """

    registry: str
    serial: str
    source: str
    start_ms: int
    end_ms: int
    watt_hours: float
    retired_ms: int | None = None
    beneficiary: str = ""
    contract: str = ""

    @property
    def hourly(self) -> bool:
        """Whether it says in which hour its energy was made."""
        return self.end_ms - self.start_ms <= HOUR_MS

    def within(self, start_ms: int, end_ms: int) -> float:
        """Return its energy in a period, by time, Wh."""
        inside = min(self.end_ms, end_ms) - max(self.start_ms, start_ms)
        return self.watt_hours * (inside / (self.end_ms - self.start_ms)) if inside > 0 else 0.0


def retired_energy(
    certificates: Iterable[Certificate],
    start_ms: int,
    end_ms: int,
    contracts: Collection[str] = (),
) -> float:
    """Return what retired certificates stand for in a period, Wh.

    Args:
        certificates: Retired or not.
        start_ms: Begin of the period.
        end_ms: Its end.
        contracts: Contracts whose claims are matched already: their certificates add nothing.

    Returns:
        Their energy; of one that reaches beyond the period the part that lies in it, by time.
    """
    return fsum(
        one.within(start_ms, end_ms)
        for one in certificates
        if one.retired_ms is not None and one.contract not in contracts
    )


def retired_part(
    certificates: Iterable[Certificate], contract: str, start_ms: int, end_ms: int
) -> float:
    """Return which part of a contract's certificates of a period is retired, 0..1.

    One whose certificates nobody lists is taken at its word: 1.
    """
    own = [one for one in certificates if one.contract == contract]
    energies = [(one.within(start_ms, end_ms), one.retired_ms is not None) for one in own]
    listed = fsum(energy for energy, _ in energies)
    return fsum(energy for energy, retired in energies if retired) / listed if listed else 1.0


@dataclass(frozen=True, slots=True)
class MarketHour:
    """One UTC hour of import.

    Attributes:
        imported: Gross import, Wh.
        location: Import at the grid's direct factor, g.
        matched: What contracts cover of it, Wh.
        certified: What hourly certificates would cover, Wh; only the proposed method asks.
    """

    imported: float
    location: float | None
    matched: float
    certified: float = 0.0


@dataclass(frozen=True, slots=True)
class SoldOutput:
    """Own output used on the site whose attributes others have, or nobody.

    Attributes:
        watt_hours: Output less what of it was exported.
        location: The same at the grid's direct factor, g.
    """

    watt_hours: float = 0.0
    location: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Market:
    """Market-based scope 2 and what it is made of.

    Attributes:
        grams: Mass; ``None`` if a factor is missing.
        note: ``no residual mix available`` where the grid's average stands in for it.
        contracted: Import that contracts cover, Wh.
        certified: Import that certificates cover beyond that, Wh.
        rest: Import that nothing covers, Wh.
        sold: Own output that is treated like it, Wh.
    """

    grams: float | None
    note: str | None
    contracted: float
    certified: float
    rest: float
    sold: float


def market_based(
    hours: Sequence[MarketHour],
    *,
    residual_factor: float | None = None,
    certificates: float = 0.0,
    sold: SoldOutput | None = None,
    hourly: bool = False,
) -> Market:
    """Return market-based scope 2.

    Args:
        hours: The period's hours.
        residual_factor: The published residual mix, g/kWh.
        certificates: Retired for the period, Wh; they cover what contracts leave of the import,
            and never more. Not used by the hourly method.
        sold: Own output whose attributes are not the site's.
        hourly: As proposed for the next standard: certificates count only in their hour. Such a
            figure stands apart and is not signed.
    """
    own = SoldOutput() if sold is None else sold
    left: list[float] = []
    masses: list[float | None] = []
    covered: list[float] = []
    for hour in hours:
        rest = max(hour.imported - hour.matched, 0.0)
        used = min(hour.certified, rest) if hourly else 0.0
        covered.append(used)
        left.append(rest - used)
        masses.append(_part(hour.location, rest - used, hour.imported))
    open_rest = fsum(left)
    certified = fsum(covered) if hourly else min(certificates, open_rest)
    rest = open_rest if hourly else open_rest - certified
    note = None
    grams: float | None
    if residual_factor is not None:
        grams = (rest + own.watt_hours) * residual_factor / 1000.0
    else:
        note = NO_RESIDUAL_MIX
        grams = _average(masses, rest / open_rest if open_rest > 0.0 else 0.0, own)
    contracted = fsum(min(hour.matched, hour.imported) for hour in hours)
    return Market(grams, note, contracted, certified, rest, own.watt_hours)


def _part(mass: float | None, energy: float, whole: float) -> float | None:
    if energy <= 0.0:
        return 0.0
    return None if mass is None else mass * (energy / whole)


def _average(masses: Sequence[float | None], part: float, own: SoldOutput) -> float | None:
    """Value the rest, and the sold output, at the grid's average of their time."""
    known = [mass for mass in masses if mass is not None]
    import_mass = 0.0 if part == 0.0 else fsum(known) * part
    missing = part > 0.0 and len(known) < len(masses)
    if missing or own.location is None:
        return None
    return import_mass + own.location
