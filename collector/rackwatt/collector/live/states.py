# SPDX-License-Identifier: Apache-2.0
"""Racks and halls at an instant: power, air, GPUs; what is unknown is None."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import fsum

from rackwatt.collector.accounting.thermal import A1, AirClass, CoolingIndex, rack_cooling_index
from rackwatt.collector.live.fleet_racks import RackGpus
from rackwatt.collector.site.topology import Rack


@dataclass(frozen=True, slots=True)
class RackState:
    """One rack.

    Attributes:
        rack: which.
        power_watts: of its PDUs; None: one of them is silent.
        inlet_celsius: of the air that it takes in.
        outlet_celsius: of the air that it gives.
        dew_point_celsius: at its inlet.
        gpus: that stand in it.
    """

    rack: Rack
    power_watts: float | None
    inlet_celsius: float | None
    outlet_celsius: float | None
    dew_point_celsius: float | None
    gpus: RackGpus


@dataclass(frozen=True, slots=True)
class HallState:
    """The racks of one hall together.

    Attributes:
        hall: its id.
        racks: how many.
        power_watts: of the racks whose power is known.
        inlets: known inlet temperatures, degrees Celsius.
        dew_point_max_celsius: the highest at an inlet.
        above_recommended, above_allowable: racks whose inlet is above that end of the air class.
        below_recommended: racks whose inlet is below it.
        cooling: rack cooling index; None without an inlet.
        gpus: of all its racks; extremes of one GPU.
    """

    hall: str
    racks: int
    power_watts: float | None
    inlets: tuple[float, ...]
    dew_point_max_celsius: float | None
    above_recommended: int
    above_allowable: int
    below_recommended: int
    cooling: CoolingIndex | None
    gpus: RackGpus


def hall_states(racks: Iterable[RackState], air: AirClass = A1) -> list[HallState]:
    """Fold racks into their halls, in order of the halls' names."""
    by_hall = sorted(racks, key=_hall)
    return [_fold(hall, list(each), air) for hall, each in groupby(by_hall, _hall)]


def _hall(state: RackState) -> str:
    return state.rack.hall


def _fold(hall: str, racks: Sequence[RackState], air: AirClass) -> HallState:
    inlets = [one.inlet_celsius for one in racks if one.inlet_celsius is not None]
    return HallState(
        hall=hall,
        racks=len(racks),
        power_watts=_sum(one.power_watts for one in racks),
        inlets=tuple(inlets),
        dew_point_max_celsius=_extreme(max, (one.dew_point_celsius for one in racks)),
        above_recommended=sum(inlet > air.recommended_high for inlet in inlets),
        above_allowable=sum(inlet > air.allowable_high for inlet in inlets),
        below_recommended=sum(inlet < air.recommended_low for inlet in inlets),
        cooling=rack_cooling_index(inlets, air),
        gpus=_gpus([one.gpus for one in racks]),
    )


def _gpus(racks: Sequence[RackGpus]) -> RackGpus:
    reporting = sum(one.reporting for one in racks)
    used = [(one.utilization, one.reporting) for one in racks]
    parts = [(ratio, count) for ratio, count in used if ratio is not None and count]
    weight = sum(count for _, count in parts)
    return RackGpus(
        known=sum(one.known for one in racks),
        reporting=reporting,
        power_watts=_sum(one.power_watts for one in racks),
        power_min_watts=_extreme(min, (one.power_min_watts for one in racks)),
        power_max_watts=_extreme(max, (one.power_max_watts for one in racks)),
        utilization=fsum(ratio * count for ratio, count in parts) / weight if weight else None,
        idle=_count(one.idle for one in racks),
        idle_watts=_sum(one.idle_watts for one in racks),
        temperature_max_celsius=_extreme(max, (one.temperature_max_celsius for one in racks)),
        memory_temperature_max_celsius=_extreme(
            max, (one.memory_temperature_max_celsius for one in racks)
        ),
        throttled=_count(one.throttled for one in racks),
        braked=_count(one.braked for one in racks),
        ecc_uncorrected=_sum(one.ecc_uncorrected for one in racks),
    )


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fsum(known) if known else None


def _count(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _extreme(
    how: Callable[[Sequence[float]], float], values: Iterable[float | None]
) -> float | None:
    known = [value for value in values if value is not None]
    return how(known) if known else None
