# SPDX-License-Identifier: Apache-2.0
"""Claims: what contracts say of the grid import, matched per UTC hour.

A contract (PPA, wheeled supply) is never a source beside the import: it claims a part of it. Per
hour ``min(sum of claims, import)`` is matched, shared pro rata to the claims; what is beyond the
import is surplus, which is reported and not carried to another hour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final

from rackwatt.collector.accounting.vocabulary import HOUR_MS, total


@dataclass(frozen=True, slots=True)
class Match:
    """What of an import is matched by claims, Wh.

    Attributes:
        matched: By contract.
        total: Their sum: at most the import.
        surplus: What was claimed beyond the import.
    """

    matched: Mapping[str, float]
    total: float
    surplus: float


NO_CLAIMS: Final = Match({}, 0.0, 0.0)
"""Without contracts nothing is matched, whatever the import."""


def match(claims: Mapping[str, float], imported: float) -> Match:
    """Match one hour's claims to its import.

    Args:
        claims: What each contract's plant gave in the hour, Wh. Below 0 (a plant that draws its
            own needs at night) counts as 0: nobody owes a claim.
        imported: Gross import of the hour, Wh; below 0 counts as 0.
    """
    given = {name: max(claimed, 0.0) for name, claimed in claims.items()}
    claimed = fsum(given.values())
    bought = max(imported, 0.0)
    if claimed <= bought:
        return Match(given, claimed, 0.0)
    # The share of each is formed first: an import of 0 leaves every part exactly 0.
    parts = {name: bought * (amount / claimed) for name, amount in given.items()}
    return Match(parts, bought, claimed - bought)


@dataclass(frozen=True, slots=True)
class HourMatch:
    """One UTC hour's claims and import.

    Attributes:
        match: ``None`` if a claim, or the import that it is on, is unknown somewhere in the hour.
        imported: The hour's import, Wh; ``None`` if unknown.
    """

    match: Match | None
    imported: float | None

    def part(self, imported: float | None) -> Match | None:
        """Return the match of a part of the hour, pro rata to its import.

        Args:
            imported: Import in this part, Wh.
        """
        if self.match is not None and not self.match.matched:
            return self.match
        if self.match is None or self.imported is None or imported is None:
            return None
        part = max(imported, 0.0) / self.imported if self.imported > 0.0 else 0.0
        matched = {name: amount * part for name, amount in self.match.matched.items()}
        return Match(matched, self.match.total * part, self.match.surplus * part)


def match_hour(
    claims: Sequence[Mapping[str, float | None]], imports: Sequence[float | None]
) -> HourMatch:
    """Match the intervals of one UTC hour as a whole.

    Args:
        claims: Per interval, what each contract's plant gave, Wh. A contract that is not there in
            an interval did not hold then.
        imports: Per interval, the import in Wh.

    Raises:
        ValueError: There are not as many claims as imports.
    """
    if len(claims) != len(imports):
        msg = f"{len(claims)} intervals with claims and {len(imports)} with imports"
        raise ValueError(msg)
    imported = total(None if value is None else max(value, 0.0) for value in imports)
    sums: dict[str, float] = {}
    for name in sorted({name for each in claims for name in each}):
        amount = total(each.get(name, 0.0) for each in claims)
        if amount is None:
            return HourMatch(None, imported)
        sums[name] = amount
    if not sums:
        return HourMatch(NO_CLAIMS, imported)
    return HourMatch(None if imported is None else match(sums, imported), imported)


def share_hour(
    claims: Sequence[Mapping[str, float | None]], imports: Sequence[float | None]
) -> list[Match | None]:
    """Match the intervals of one UTC hour, and share the match over them pro rata to import.

    Arguments and exceptions are those of :func:`match_hour`.

    Returns:
        One match per interval; all ``None`` if one claim or import is unknown. They sum to the
        hour's, except for the surplus of an hour without import, which no interval can have.
    """
    hour = match_hour(claims, imports)
    return [hour.part(imported) for imported in imports]


def hour_of(time_ms: int) -> int:
    """Return the start of the UTC hour of an instant, ms since 1970."""
    return time_ms - time_ms % HOUR_MS
