# SPDX-License-Identifier: Apache-2.0
"""The hourly carbon-free energy score: how much of each hour's load met carbon-free energy then.

Per hour ``C = min(load, cfe)`` and ``G = (load - C) x the grid's carbon-free part``; the score is
``sum(C + G) / sum(load)``. What is too much in one hour is not carried to another: that would be
the matching of yearly volumes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from rackwatt.collector.accounting.keyfigures import Ratio, ratio_of_sums
from rackwatt.collector.accounting.vocabulary import RENEWABLE


@dataclass(frozen=True, slots=True)
class CfeHour:
    """One UTC hour, or the part of it that a period holds.

    Attributes:
        load: The data center's consumption, Wh; without charge and export.
        cfe: Carbon-free energy that met it, Wh: own output that went to it directly, the
            carbon-free part of the discharge, matched contracts.
        grid_carbon_free: The grid's carbon-free part, 0..1.
    """

    load: float | None
    cfe: float | None
    grid_carbon_free: float | None

    @property
    def met(self) -> float | None:
        """``C + G``, Wh."""
        if self.load is None or self.cfe is None:
            return None
        own = min(self.load, self.cfe)
        rest = self.load - own
        if rest == 0.0:
            return own
        return None if self.grid_carbon_free is None else own + rest * self.grid_carbon_free


def score(hours: Sequence[CfeHour]) -> Ratio:
    """Return the score over the hours in which all terms are known, with their part of all."""
    return ratio_of_sums((hour.met, hour.load) for hour in hours)


def met_by_own(
    *,
    load: float | None,
    origins: Mapping[str, float] | None,
    carbon_free: float | None,
    grid_part: float | None,
    discharge: float | None,
    grid_carbon_free: float | None,
) -> float | None:
    """Return the carbon-free energy in the load of a booked interval, but for the direct import.

    That is what traced back to own renewable output, and what the battery gave back of the grid's
    carbon-free energy: the carbon-free load less the direct import's part of it.

    Args:
        load: The data center's consumption, Wh.
        origins: It by origin, battery traced back, Wh.
        carbon_free: Its carbon-free part, Wh.
        grid_part: Direct import as a part of all that came onto the bus, 0..1.
        discharge: Out of the battery, Wh.
        grid_carbon_free: The grid's carbon-free part, 0..1.
    """
    if load == 0.0:
        return 0.0
    if load is None or origins is None or discharge is None:
        return None
    renewable = fsum(origins.get(name, 0.0) for name in RENEWABLE)
    if discharge == 0.0:
        return renewable
    direct = 0.0 if grid_part == 0.0 else _times(grid_part, grid_carbon_free)
    if carbon_free is None or direct is None:
        return None
    return renewable + min(max(carbon_free - renewable - load * direct, 0.0), load)


def _times(value: float | None, part: float | None) -> float | None:
    return None if value is None or part is None else value * part
