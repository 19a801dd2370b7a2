# SPDX-License-Identifier: Apache-2.0
"""Which part of the simulated world each meter of a site file measures.

Every meter is a row of weights over the world's quantities, so that one matrix product reads all
of them. A role's quantity is spread over its meters; what other roles take off again (losses =
UPS - IT) is added to the meter above. IT follows the racks: a PDU carries its rack, a row's or a
hall's meter the racks below it that no PDU of the same role covers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rackwatt.collector.site import Rack, Site
from rackwatt.collector.site.topology import Term
from rackwatt.twin.simulate.problems import SimulationProblem
from rackwatt.twin.world.racks import Floor

Array = NDArray[np.float64]

FORWARD: Final = ("power_watts", "energy_import_watt_hours")
REVERSE: Final = ("power_export_watts", "energy_export_watt_hours")
CHARGE: Final = ("power_charge_watts", "energy_charge_watt_hours")
DISCHARGE: Final = ("power_discharge_watts", "energy_discharge_watt_hours")

FLOWS: Final = (
    "pv", "wind", "genset", "grid_import", "discharge",
    "losses", "cooling", "other", "campus", "charge", "grid_export",
)  # fmt: skip
"""The world's quantities but IT, which is a column for each rack."""
_OF_ROLE: Final[Mapping[str, str]] = {
    "grid": "grid_import", "battery": "charge", "pv": "pv", "wind": "wind", "genset": "genset",
    "losses": "losses", "cooling": "cooling", "other": "other", "campus": "campus",
}  # fmt: skip
_BELOW: Final = 0.05
"""What a meter without a role takes off another, as a part of what that one's role measures."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The world's quantities in the order of the weights."""

    contracts: tuple[str, ...]
    racks: int

    @property
    def names(self) -> tuple[str, ...]:
        """All but the racks, which follow."""
        return (*FLOWS, *self.contracts)

    @property
    def width(self) -> int:
        """How many."""
        return len(self.names) + self.racks

    def zero(self) -> Array:
        """Weights of nothing."""
        return np.zeros(self.width)

    def one(self, name: str) -> Array:
        """Weights of one quantity; `it` is all racks."""
        weights = self.zero()
        if name == "it":
            weights[len(self.names) :] = 1.0
        else:
            weights[self.names.index(name)] = 1.0
        return weights

    def rack(self, index: int, part: float = 1.0) -> Array:
        """Weights of a part of one rack."""
        weights = self.zero()
        weights[len(self.names) + index] = part
        return weights


@dataclass(frozen=True, slots=True)
class Channel:
    """One direction of one meter."""

    device: str
    power: str
    energy: str


@dataclass(slots=True)
class Wiring:
    """All channels at one time.

    Attributes:
        channels: What is measured.
        weights: A row for each channel, over the columns.
        notes: Sentences on what of the site cannot be seen in the simulation.
    """

    channels: list[Channel] = field(default_factory=list)
    weights: Array = field(default_factory=lambda: np.zeros((0, 0)))
    notes: list[str] = field(default_factory=list)


def wire(site: Site, time_ms: int, columns: Columns, floor: Floor) -> Wiring:
    """Wire the meters of a site as its file says at one time.

    Raises:
        SimulationProblem: the site has several buses, a role that the world lacks, or meters that
            take each other off in a circle.
    """
    roles = check_site(site, time_ms)
    known = _Solver(site, time_ms, columns, floor).solve(roles)
    return _channels(site, time_ms, columns, roles, known)


def check_site(site: Site, time_ms: int) -> dict[str, list[Term]]:
    """The terms of each role, of a site that the world can stand for.

    Raises:
        SimulationProblem: the site has several buses, no metering point, or a role that the
            world lacks.
    """
    terms = site.terms_at(time_ms)
    if len(terms.buses) > 1:
        names = ", ".join(terms.buses)
        raise SimulationProblem(
            f"the site has several buses ({names}): only sites with one bus can be simulated"
        )
    if not terms.roles:
        raise SimulationProblem(
            "no meter of the site has a role at that time: there is nothing to book; "
            "'rackwatt ledger import' needs no meters"
        )
    roles = {str(role): list(some) for role, some in terms.roles.items()}
    if "hydro" in roles:
        raise SimulationProblem(
            "a meter has the role 'hydro': the simulated world has sun, wind, grid and genset only"
        )
    return roles


class _Solver:
    def __init__(self, site: Site, time_ms: int, columns: Columns, floor: Floor) -> None:
        self._columns = columns
        self._floor = floor
        self._racks = {rack.id: rack for rack in site.racks_at(time_ms)}
        self._index = {rack.id: rack.index for rack in floor.racks}
        self._halls: dict[str, list[str]] = {}
        for rack in floor.racks:
            self._halls.setdefault(rack.hall, []).append(rack.id)
        self._rows = {rack.row for rack in floor.racks}
        self._row_of = {rack.id: rack.row for rack in floor.racks}
        self._hall_of = {
            meter: place.hall
            for meter in site.meters_at(time_ms)
            if (place := site.place(meter, time_ms)) is not None
        }
        self._pdus = self._rack_meters()

    def _rack_meters(self) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for name, rack in self._racks.items():
            index = self._index.get(name)
            if index is None:
                continue
            first = float(self._floor.rack_share[index])
            parts = [first, 1.0 - first] if len(rack.pdus) == 2 else _even(len(rack.pdus))
            for pdu, part in zip(rack.pdus, parts, strict=True):
                found[pdu] = self._columns.rack(index, part)
        return found

    def solve(self, roles: Mapping[str, Sequence[Term]]) -> dict[str, Array]:
        """Weights of every physical meter, by name."""
        known: dict[str, Array] = {}
        waiting = dict(roles)
        positive = {t.meter_id for some in roles.values() for t in some if t.sign > 0}
        while waiting:
            later = positive - known.keys()
            ready = [
                role
                for role, some in waiting.items()
                if not any(term.sign < 0 and term.meter_id in later for term in some)
            ]
            if not ready:
                raise SimulationProblem(
                    f"the meters of {' and '.join(sorted(waiting))} take each other off in a circle"
                )
            for role in ready:
                self._solve_role(role, waiting.pop(role), known)
        for pdu, weights in self._pdus.items():
            known.setdefault(pdu, weights)
        return known

    def _solve_role(self, role: str, some: Sequence[Term], known: dict[str, Array]) -> None:
        quantity = self._columns.one("it" if role == "it" else _OF_ROLE[role])
        below = self._columns.zero()
        for term in (t for t in some if t.sign < 0):
            if term.meter_id not in known:
                known[term.meter_id] = self._pdus.get(term.meter_id, quantity * _BELOW)
            below = below + known[term.meter_id] * -term.sign
        names = [t.meter_id for t in some if t.sign > 0 and t.meter_id not in known]
        if not names:
            return
        spread = self._it(names) if role == "it" else [quantity / len(names)] * len(names)
        for name, weights in zip(names, spread, strict=True):
            known[name] = weights + below / len(names)

    def _it(self, names: Sequence[str]) -> list[Array]:
        """Each IT meter's racks: PDUs first, then meters of rows, of halls, of the site."""
        covered = {
            rack.id for rack in self._racks.values() if any(pdu in names for pdu in rack.pdus)
        }
        groups: dict[tuple[str, ...], list[str]] = {}
        for name in names:
            if name not in self._pdus:
                groups.setdefault(self._below(name), []).append(name)
        found: dict[str, Array] = {}
        for racks, members in sorted(groups.items(), key=lambda item: len(item[0])):
            free = [rack for rack in racks if rack not in covered]
            covered.update(free)
            whole = self._columns.zero()
            for rack in free:
                whole = whole + self._columns.rack(self._index[rack])
            found |= dict.fromkeys(members, whole / len(members))
        return [self._pdus[name] if name in self._pdus else found[name] for name in names]

    def _below(self, meter: str) -> tuple[str, ...]:
        """The racks that a meter feeds, by its name or its hall."""
        rows = [row for row in self._rows if meter == row or meter.startswith(f"{row}-")]
        if rows:
            row = max(rows, key=len)
            return tuple(rack for rack, own in self._row_of.items() if own == row)
        hall = self._halls.get(self._hall_of.get(meter, ""))
        return tuple(hall or self._index)


def _even(count: int) -> list[float]:
    return [1.0 / max(count, 1)] * count


def _channels(
    site: Site,
    time_ms: int,
    columns: Columns,
    roles: Mapping[str, Sequence[Term]],
    known: Mapping[str, Array],
) -> Wiring:
    wiring = Wiring(notes=_notes(roles, known, columns))
    rows: list[Array] = []

    def add(device: str, fields: tuple[str, str], weights: Array) -> None:
        wiring.channels.append(Channel(device, *fields))
        rows.append(weights)

    role_of = {t.meter_id: role for role, some in roles.items() for t in some if t.sign > 0}
    charge, discharge = columns.one("charge"), columns.one("discharge")
    imported, exported = columns.one("grid_import"), columns.one("grid_export")
    for device in sorted(known):
        weights = known[device]
        if role_of.get(device) == "battery":
            part = float(weights @ charge)
            add(device, CHARGE, charge * part)
            add(device, DISCHARGE, discharge * part)
            continue
        add(device, FORWARD, weights)
        if role_of.get(device) == "grid":
            add(device, REVERSE, exported * float(weights @ imported))
    wired = set(known)
    for contract in site.contracts:
        if contract.validity.holds(time_ms) and contract.meter not in wired:
            add(contract.meter, FORWARD, columns.one(contract.meter))
            wired.add(contract.meter)
    wiring.weights = np.array(rows)
    return wiring


def _notes(
    roles: Mapping[str, Sequence[Term]], known: Mapping[str, Array], columns: Columns
) -> list[str]:
    notes: list[str] = []
    if "cooling" not in roles:
        notes.append("no meter has the role 'cooling': the simulated cooling shows as unmetered")
    it = columns.zero()
    for term in roles.get("it", ()):
        it = it + known[term.meter_id] * term.sign
    racks = it[len(columns.names) :]
    blind = int(np.sum(racks < 0.5))
    if blind:
        notes.append(f"{blind} of {len(racks)} racks have no meter of the role 'it'")
    return notes


def racks_by_place(racks: Iterable[Rack]) -> dict[tuple[str, str], list[Rack]]:
    """Racks by hall and row, in the file's order."""
    found: dict[tuple[str, str], list[Rack]] = {}
    for rack in racks:
        found.setdefault((rack.hall, rack.row), []).append(rack)
    return found
