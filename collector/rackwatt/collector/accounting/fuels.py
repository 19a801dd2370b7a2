# SPDX-License-Identifier: Apache-2.0
"""Fuels: what they hold, and scope 1 of a genset by what it burnt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from rackwatt.collector.accounting.factors import FactorTable


@dataclass(frozen=True, slots=True)
class FuelUse:
    """Fuel burnt in a period.

    Attributes:
        fuel: ``diesel``, ``gas``, ``hydrogen``.
        amount: Litres of diesel, m3 of gas, kg of hydrogen; ``None`` = unknown.
    """

    fuel: str
    amount: float | None


def fuel_energy(use: FuelUse, table: FactorTable) -> float | None:
    """Return what a fuel held, kWh; ``None`` if its amount or what it holds is unknown."""
    held = next((line.value for line in table.fuels if line.fuel == use.fuel), None)
    return None if use.amount is None or held is None else use.amount * held


def scope_1(uses: Sequence[FuelUse], factors: Mapping[str, float]) -> float | None:
    """Return the mass that burning fuels set free, g: amount times fuel factor.

    Args:
        uses: What was burnt.
        factors: g CO2e per litre, m3 or kg, by fuel. There are no defaults.

    Returns:
        ``None`` if an amount is unknown, or the factor of a fuel that was burnt.
    """
    masses: list[float] = []
    for use in uses:
        if use.amount == 0.0:
            continue
        factor = factors.get(use.fuel)
        if use.amount is None or factor is None:
            return None
        masses.append(use.amount * factor)
    return fsum(masses)
