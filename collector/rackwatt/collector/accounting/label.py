# SPDX-License-Identifier: Apache-2.0
"""What European rules ask for: label classes, and the fields of the yearly report.

The classes are second-hand (a Commission act of September 2026) and indicative outside the EU and
for any period but a year; the bound between E and F is not known here, so both are one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rackwatt.collector.accounting.vocabulary import total

_PUE: Final = ((1.15, "A"), (1.25, "B"), (1.35, "C"), (1.5, "D"), (1.9, "E-F"))
_WUE: Final = ((0.1, "A"), (0.2, "B"), (0.4, "C"), (0.6, "D"), (1.0, "E-F"))


def pue_class(pue: float | None) -> str | None:
    """Return the indicative class of a PUE."""
    return _class(pue, _PUE)


def wue_class(wue: float | None) -> str | None:
    """Return the indicative class of a WUE of fresh water, L/kWh."""
    return _class(wue, _WUE)


def _class(value: float | None, bounds: Sequence[tuple[float, str]]) -> str | None:
    if value is None:
        return None
    return next((name for bound, name in bounds if value <= bound), "G")


@dataclass(frozen=True, slots=True)
class EuReport:
    """Fields of the report after EU 2024/1364; energies in Wh, ``None`` = unknown.

    Attributes:
        e_dc: Energy of the data center.
        e_it: Energy of its IT.
        pd_it: Installed IT power, W.
        w_in: Water, L.
        e_reuse: Heat used outside.
        e_res_goo: Renewable energy by guarantees of origin.
        e_res_ppa: Renewable energy by contract.
        e_res_os: Renewable energy made on the site.
        floor_area: Of the data center, m2.
        computer_room_area: Of its computer rooms, m2.
        battery_capacity: Wh.
    """

    e_dc: float | None
    e_it: float | None
    pd_it: float | None = None
    w_in: float | None = None
    e_reuse: float | None = None
    e_res_goo: float | None = None
    e_res_ppa: float | None = None
    e_res_os: float | None = None
    floor_area: float | None = None
    computer_room_area: float | None = None
    battery_capacity: float | None = None

    @property
    def e_res_tot(self) -> float | None:
        """All renewable energy."""
        return total((self.e_res_goo, self.e_res_ppa, self.e_res_os))

    @property
    def pue(self) -> float | None:
        """``E_DC / E_IT``."""
        return _ratio(self.e_dc, self.e_it)

    @property
    def wue(self) -> float | None:
        """Water per energy of IT, L/kWh."""
        return _ratio(self.w_in, None if self.e_it is None else self.e_it / 1000.0)

    @property
    def erf(self) -> float | None:
        """Reused part of the energy."""
        return _ratio(self.e_reuse, self.e_dc)

    @property
    def ref(self) -> float | None:
        """Renewable part of the energy, at most 1."""
        ratio = _ratio(self.e_res_tot, self.e_dc)
        return None if ratio is None else min(ratio, 1.0)


def _ratio(over: float | None, under: float | None) -> float | None:
    return None if over is None or not under else over / under
