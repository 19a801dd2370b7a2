# SPDX-License-Identifier: Apache-2.0
"""Fuels: what they hold, and scope 1 of a genset by what it burnt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from rackwatt.collector.accounting.factors import FactorTable


@dataclass(frozen=True, slots=True)
class FuelLine:
    """What a document says was burnt in a span: a delivery, or the difference of two dips.

    Attributes:
        start_ms: Since when, ms since 1970 UTC.
        end_ms: Until when.
        fuel: ``diesel``, ...
        liters: How much.
        tank: Of which tank; the spans of one tank do not overlap.
        document: Where it stands.
    """

    start_ms: int
    end_ms: int
    fuel: str
    liters: float
    tank: str = ""
    document: str = ""


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


def burnt(lines: Sequence[FuelLine], start_ms: int, end_ms: int) -> tuple[list[FuelUse], float]:
    """Return what was burnt in a period, and how much of the period documents cover.

    A line counts where it lies within the period: when in its span an engine ran it does not say.
    Only of 0 litres any part is known.

    Args:
        lines: Of all tanks.
        start_ms: Where the period begins.
        end_ms: Where it ends.

    Returns:
        One use per fuel, and the coverage of the tank that is covered least, 0..1.
    """
    covered = dict.fromkeys((line.tank for line in lines), 0)
    amounts: dict[str, list[float]] = {}
    for line in lines:
        low, high = max(line.start_ms, start_ms), min(line.end_ms, end_ms)
        whole = (low, high) == (line.start_ms, line.end_ms)
        if low < high and (whole or line.liters == 0.0):
            covered[line.tank] += high - low
            amounts.setdefault(line.fuel, []).append(line.liters)
    least = min(covered.values(), default=0)
    uses = [FuelUse(fuel, fsum(parts)) for fuel, parts in sorted(amounts.items())]
    return uses, least / (end_ms - start_ms) if least else 0.0


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
