# SPDX-License-Identifier: Apache-2.0
"""Where the data center's energy came from, traced through the battery, step by step.

The twin's own reckoning, at its own step and independent of the collector's, to compare with.
"""

from collections.abc import Mapping
from typing import Final

from rackwatt.twin.spec import BatterySpec

ORIGINS: Final = ("pv", "wind", "grid", "genset", "unknown")
_SUPPLIES: Final = ("pv", "wind", "grid_import", "genset")


class Tracer:
    """Proportional sharing on one bus; the battery holds a mix."""

    def __init__(self, battery: BatterySpec) -> None:
        self._battery = battery
        self.stock: dict[str, float] = dict.fromkeys(ORIGINS, 0.0)
        """Stored energy by origin, Wh."""
        self.stock["unknown"] = battery.initial_wh
        self.load: dict[str, float] = dict.fromkeys(ORIGINS, 0.0)
        """Energy that the data center consumed, by origin, Wh since the first start."""

    def step(self, powers: Mapping[str, float], consumption: float, hours: float) -> None:
        """Book one step.

        Args:
            powers: W by source and by `charge` and `discharge`.
            consumption: of the data center: IT, losses, cooling and other, W.
            hours: length of the step.
        """
        supply = dict.fromkeys(ORIGINS, 0.0)
        for name, origin in zip(_SUPPLIES, ORIGINS, strict=False):
            supply[origin] = powers[name] * hours
        stored = sum(self.stock.values())
        taken = powers["discharge"] * hours / self._battery.discharge_efficiency
        if taken > 0 and stored > 0:
            part = min(taken / stored, 1.0)
            for origin in ORIGINS:
                out = self.stock[origin] * part
                self.stock[origin] -= out
                supply[origin] += out * self._battery.discharge_efficiency
        total = sum(supply.values())
        if total <= 0:
            return
        for origin in ORIGINS:
            share = supply[origin] / total
            self.load[origin] += consumption * hours * share
            gained = powers["charge"] * hours * self._battery.charge_efficiency
            self.stock[origin] += gained * share
