# SPDX-License-Identifier: Apache-2.0
"""The balance of a bus: what the meters cannot explain gets a name, so the books close."""

from collections.abc import Mapping
from dataclasses import dataclass

from rackwatt.collector.accounting.vocabulary import total


@dataclass(frozen=True, slots=True)
class Balance:
    """One interval's balance, Wh.

    Attributes:
        supplied: Sum of the sources, ``None`` if one is unknown.
        residual: Sources minus sinks, ``None`` if any of them is unknown.
        unmetered: A positive residual: a sink with the mix of the bus.
        unknown: A negative residual turned round: a source at the grid's factor, never renewable.
    """

    supplied: float | None
    residual: float | None
    unmetered: float
    unknown: float

    @property
    def ratio(self) -> float | None:
        """The signed residual as a part of the sources, ``None`` without sources."""
        if self.residual is None or not self.supplied:
            return None
        return self.residual / self.supplied


def balance(sources: Mapping[str, float | None], sinks: Mapping[str, float | None]) -> Balance:
    """Balance the metered sources of a bus against its metered sinks (both with the battery)."""
    supplied = total(sources.values())
    taken = total(sinks.values())
    if supplied is None or taken is None:
        return Balance(supplied, None, 0.0, 0.0)
    # One rounding for the whole difference: a permutation of meters must not move it.
    residual = total((*sources.values(), *(-(sink or 0.0) for sink in sinks.values())))
    gap = residual or 0.0
    return Balance(supplied, gap, max(gap, 0.0), max(-gap, 0.0))
