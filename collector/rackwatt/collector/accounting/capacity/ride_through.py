# SPDX-License-Identifier: Apache-2.0
"""How long a rack lives on the heat that its coolant and metal still take."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, inf


@dataclass(frozen=True, slots=True)
class HeatMass:
    """Something that warms up.

    Attributes:
        kilograms: How much of it.
        joules_per_kilogram_kelvin: Its specific heat capacity.
    """

    kilograms: float
    joules_per_kilogram_kelvin: float


def ride_through(
    masses: Sequence[HeatMass], limit_celsius: float, temperature_celsius: float, watts: float
) -> float:
    """Seconds until the limit when nothing takes heat away: sum(m cp) (T_limit - T) / P.

    Args:
        masses: All that warms up together.
        limit_celsius: Where machines shut down.
        temperature_celsius: Where they are.
        watts: Heat that goes in, which is the rack's power.

    Returns:
        Seconds, 0 at the limit and beyond, infinite without power.
    """
    room = max(limit_celsius - temperature_celsius, 0.0)
    joules = fsum(m.kilograms * m.joules_per_kilogram_kelvin for m in masses) * room
    if watts <= 0.0:
        return inf
    return joules / watts
