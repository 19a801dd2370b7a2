# SPDX-License-Identifier: Apache-2.0
"""The rules of one bus once more, in exact fractions and plain steps: what an auditor would do.

Written from the rules and not from the code it judges, without a thought of speed. Energies in Wh,
masses in g, factors in g/kWh. ``None`` is unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

SOURCES = ("pv", "wind", "hydro", "grid", "genset")
ORIGINS = (*SOURCES, "unknown")
LOADS = ("it", "cooling", "other")
Amount = Fraction | None


@dataclass
class Battery:
    """Stock by origin and its carbon mass."""

    charge_efficiency: Fraction = Fraction(1)
    discharge_efficiency: Fraction = Fraction(1)
    stock: dict[str, Fraction] = field(default_factory=lambda: dict.fromkeys(ORIGINS, Fraction(0)))
    mass: Amount = Fraction(0)

    @property
    def held(self) -> Fraction:
        return sum(self.stock.values(), Fraction(0))


@dataclass
class Line:
    """What is to be booked of one interval."""

    load: Amount
    origins: dict[str, Fraction] | None
    shares: dict[str, Fraction] | None
    carbon: Amount
    residual: Amount
    beyond: Fraction


def mass_of(energy: Fraction, factor: Amount) -> Amount:
    if energy == 0:
        return Fraction(0)
    return None if factor is None else energy * factor / 1000


def added(amounts: list[Amount]) -> Amount:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Fraction(0)) if len(known) == len(amounts) else None


def book(battery: Battery, row: Mapping[str, Amount], factors: Mapping[str, Amount]) -> Line:
    """Book one interval and leave the battery as it is at the end.

    Args:
        battery: Before and after.
        row: Sources, ``charge``, ``discharge``, ``export``, ``campus`` and loads; those that are
            not named are not there.
        factors: By origin, of one series.
    """
    zero: Fraction = Fraction(0)
    charge, discharge = row.get("charge", zero), row.get("discharge", zero)
    sources: dict[str, Amount] = {name: row.get(name, zero) for name in SOURCES}
    loads = [row[name] for name in LOADS if name in row]
    load = added(loads)
    sinks = [*loads, row.get("export", zero), row.get("campus", zero), charge]

    # Discharge first, from the opening stock.
    out = dict.fromkeys(ORIGINS, zero)
    out_mass: Amount = zero
    beyond = zero
    if discharge is not None and discharge > 0:
        needed, held = discharge / battery.discharge_efficiency, battery.held
        part = min(Fraction(1), needed / held) if held > 0 else zero
        for origin in ORIGINS:
            out[origin] = battery.stock[origin] * part * battery.discharge_efficiency
            battery.stock[origin] *= 1 - part
        out_mass = zero if part == 0 else None if battery.mass is None else battery.mass * part
        if battery.mass is not None:
            battery.mass *= 1 - part
        elif part == 1:
            battery.mass = zero
        if needed > held:
            beyond = discharge - held * battery.discharge_efficiency
            out["unknown"] += beyond
            out_mass = added([out_mass, mass_of(beyond, factors["grid"])])

    residual = added([*sources.values(), discharge, *(None if s is None else -s for s in sinks)])
    unknown = max(-residual, zero) if residual is not None else zero
    mixed = None not in sources.values() and discharge is not None and charge is not None
    shares: dict[str, Fraction] | None = None
    intensity: Amount = None
    if mixed:
        bus = {origin: (sources.get(origin) or zero) + out[origin] for origin in ORIGINS}
        bus["unknown"] += unknown
        whole = sum(bus.values(), zero)
        if whole > 0:
            shares = {origin: bus[origin] / whole for origin in ORIGINS}
            masses = [mass_of(sources[name] or zero, factors[name]) for name in SOURCES]
            whole_mass = added([*masses, mass_of(unknown, factors["grid"]), out_mass])
            intensity = None if whole_mass is None else whole_mass * 1000 / whole

    # Then charge, with the bus's mix, or as unknown at the grid's factor.
    if charge is not None and charge > 0:
        mix = shares if mixed and shares is not None else {"unknown": Fraction(1)}
        factor = intensity if mixed and shares is not None else factors["grid"]
        for origin, part in mix.items():
            battery.stock[origin] += battery.charge_efficiency * charge * part
        battery.mass = added([battery.mass, mass_of(charge, factor)])

    carbon = None if load is None or not mixed else mass_of(load, intensity)
    if load == 0:
        shares = None
    origins = None
    if load is not None and shares is not None:
        origins = {origin: load * part for origin, part in shares.items()}
    return Line(load, origins, shares, carbon, residual, beyond)
