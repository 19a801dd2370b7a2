# SPDX-License-Identifier: Apache-2.0
"""A world that fits a site file: as many racks and GPUs, and sun, wind, battery in proportion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import model_validator

from rackwatt.collector.site import Rack, Site
from rackwatt.twin.simulate.problems import SimulationProblem
from rackwatt.twin.simulate.span import SimulatedSpan
from rackwatt.twin.simulate.wiring import racks_by_place
from rackwatt.twin.spec import (
    BatterySpec,
    ContractSpec,
    GensetSpec,
    HallSpec,
    JobSpec,
    PvSpec,
    RowSpec,
    SiteSpec,
    TwinSpec,
    WindSpec,
)
from rackwatt.twin.world.racks import Floor

_DENSE_NODES: Final = 9
"""From so many nodes on, a rack is one of the liquid-cooled kind with 72 GPUs."""
_NODES: Final = 2
"""In a rack whose nodes the file does not name."""
_RACKS: Final = 16
"""On a site whose file names no rack."""
_CAMPUS: Final = 0.06
"""Consumers that are no data center, as a part of all racks' largest power."""
# Ratios to what all racks draw at most, as on the default site.
_PV_PEAK, _PV_INVERTER, _WIND, _OTHER, _CONTRACT = 1.23, 1.07, 0.41, 0.018, 0.6
_HOURS: Final = 3.0
"""In which the battery can be emptied."""


class NamedRow(RowSpec):
    """A row whose racks have the names that the site file gives them."""

    names: tuple[str, ...]

    @property
    def rack_ids(self) -> tuple[str, ...]:
        """The racks of the row."""
        return self.names


class _NamedHall(HallSpec):
    rows: tuple[NamedRow, ...]


class _NamedSpec(TwinSpec):
    """A spec without the checks of what a person writes: the site file was checked already."""

    halls: tuple[_NamedHall, ...]

    @model_validator(mode="after")
    def _consistent(self) -> "_NamedSpec":
        return self


@dataclass(frozen=True, slots=True)
class Derived:
    """A spec, and sentences on what was assumed for it."""

    spec: TwinSpec
    notes: tuple[str, ...]
    campus_ratio: float
    """The part of the world's other loads that are no data center."""


def derive(site: Site, span: SimulatedSpan, seed: int) -> Derived:
    """The world of a site that is known by its file alone.

    Raises:
        SimulationProblem: no racks can be placed.
    """
    notes: list[str] = []
    standing = [
        rack
        for rack in site.racks
        if rack.validity.start_ms < span.end_ms and span.start_ms < rack.validity.end_ms
    ]
    if len({rack.id for rack in standing}) < len(standing):
        raise SimulationProblem("a rack moves within these days: simulate the days before or after")
    halls = _halls(site, standing)
    if not halls:
        halls = (_spare_hall(),)
        notes.append(f"the site file names no rack: {_RACKS} stand in a hall of their own")
    racks = [rack for hall in halls for row in hall.rows for rack in row.rack_ids]
    bare = _NamedSpec(site=_place(site, notes), seed=seed, halls=halls, jobs=_jobs(racks))
    full = Floor(bare).largest_power
    roles = {str(role) for role in site.terms_at(span.start_ms).roles}
    other = full * _OTHER if "other" in roles else 0.0
    campus = full * _CAMPUS if "campus" in roles else 0.0
    spec = bare.model_copy(
        update={
            "pv": PvSpec(
                peak_watts=full * _PV_PEAK if "pv" in roles else 0.0,
                inverter_watts=full * _PV_INVERTER if "pv" in roles else 0.0,
            ),
            "wind": WindSpec(rated_watts=full * _WIND if "wind" in roles else 0.0),
            "battery": _battery(site, roles, full),
            "genset": GensetSpec(power_watts=full if "genset" in roles else 0.0),
            "other_watts": other + campus,
            "contracts": tuple(_contracts(site, span, full, notes)),
        }
    )
    if "losses" not in roles:
        spec = spec.model_copy(
            update={"ups": spec.ups.model_copy(update={"no_load_ratio": 0.0, "load_ratio": 0.0})}
        )
    return Derived(spec, tuple(notes), campus / (other + campus) if campus else 0.0)


def _place(site: Site, notes: list[str]) -> SiteSpec:
    default = SiteSpec()
    if site.latitude is None or site.longitude is None:
        notes.append("the site file gives no coordinates: the sun and the wind are Tétouan's")
    return SiteSpec(
        id=site.id,
        name=site.name,
        timezone=site.timezone.key,
        country=site.country or "",
        latitude=default.latitude if site.latitude is None else site.latitude,
        longitude=default.longitude if site.longitude is None else site.longitude,
    )


def _halls(site: Site, racks: Sequence[Rack]) -> tuple[_NamedHall, ...]:
    places = racks_by_place(racks)
    halls: list[_NamedHall] = []
    for hall in site.halls:
        rows = [_row(row, some) for (at, row), some in places.items() if at == hall.id]
        cdus = tuple(name for name in hall.devices if "cdu" in name.lower())
        if rows:
            halls.append(_NamedHall(id=hall.id, rows=tuple(rows), cdus=cdus))
    return tuple(halls)


def _row(name: str, racks: Sequence[Rack]) -> NamedRow:
    nodes = max((len(rack.nodes) for rack in racks), default=0) or _NODES
    dense = nodes >= _DENSE_NODES
    return NamedRow(
        id=name,
        racks=name,
        names=tuple(rack.id for rack in racks),
        nodes_per_rack=min(nodes, 64),
        gpu="GB200" if dense else "H100",
        node_watts=1_100.0 if dense else 480.0,
    )


def _spare_hall() -> _NamedHall:
    names = tuple(f"rack-{number:02d}" for number in range(1, _RACKS + 1))
    return _NamedHall(id="hall", rows=(NamedRow(id="row", racks="row", names=names),))


def _jobs(racks: Sequence[str]) -> tuple[JobSpec, ...]:
    """Half of the racks train together, some train apart, some serve, the last ones idle."""
    count = len(racks)
    large, small, serve = count // 2, count // 2 + count // 5, count - max(count // 16, 0)
    wanted: Mapping[str, tuple[str, Sequence[str]]] = {
        "train-large": ("training", racks[:large]),
        "train-small": ("training", racks[large:small]),
        "serve": ("inference", racks[small:serve]),
    }
    periods = {"train-large": 3.236, "train-small": 1.709, "serve": 3.236}
    return tuple(
        JobSpec(id=name, kind=kind, racks=tuple(some), period=periods[name])  # type: ignore[arg-type]
        for name, (kind, some) in wanted.items()
        if some
    )


def _battery(site: Site, roles: set[str], full: float) -> BatterySpec:
    if "battery" not in roles:
        return BatterySpec(capacity_wh=0.0, power_watts=0.0)
    known = site.battery
    capacity = None if known is None else known.capacity_wh
    capacity = full * 1.2 if capacity is None else capacity
    return BatterySpec(
        capacity_wh=capacity,
        power_watts=capacity / _HOURS,
        charge_efficiency=0.95 if known is None else known.charge_efficiency,
        discharge_efficiency=0.95 if known is None else known.discharge_efficiency,
        initial_wh=0.0 if known is None else min(known.initial_wh, capacity),
        reserve_charge_watts=capacity * 0.08,
        off_peak_charge_watts=capacity * 0.1,
    )


def _contracts(
    site: Site, span: SimulatedSpan, full: float, notes: list[str]
) -> list[ContractSpec]:
    meters: dict[str, str] = {}
    for contract in site.contracts:
        if contract.validity.start_ms < span.end_ms and span.start_ms < contract.validity.end_ms:
            meters.setdefault(contract.meter, contract.claim)
            if contract.claim == "ppa_hydro":
                notes.append(f"contract {contract.id}: its water comes and goes like the wind")
    return [
        ContractSpec(
            id=meter,
            kind="pv" if claim == "ppa_pv" else "wind",
            rated_watts=full * _CONTRACT / len(meters),
        )
        for meter, claim in meters.items()
    ]
