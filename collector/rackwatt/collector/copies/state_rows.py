# SPDX-License-Identifier: Apache-2.0
"""Racks and halls of an instant as rows of the store.

A row is written once and never revised; what is unknown is not among its fields. A hall has one row
for tens of thousands of GPUs: curves of weeks are drawn of it.
"""

from collections.abc import Mapping, Sequence
from math import fsum
from typing import Final

from rackwatt.collector.live.fleet_racks import RackGpus
from rackwatt.collector.live.states import HallState, RackState
from rackwatt.collector.store.base import Row

RACK: Final = "rack_state"
HALL: Final = "hall_state"

Values = Mapping[str, float | int | None]


def state_rows(
    site: str, racks: Sequence[RackState], halls: Sequence[HallState], time_ms: int
) -> list[Row]:
    """What the store keeps of racks and halls.

    Args:
        site: its id.
        racks: as they are.
        halls: likewise.
        time_ms: when they were looked at.
    """
    rows = [
        *(_row(RACK, site, _place(one), _rack(one), time_ms) for one in racks),
        *(_row(HALL, site, {"hall": one.hall}, _hall(one), time_ms) for one in halls),
    ]
    return [row for row in rows if row.fields]


def _row(name: str, site: str, place: Mapping[str, str], values: Values, time_ms: int) -> Row:
    tags = tuple(sorted({"site": site, **place}.items()))
    known = {key: float(value) for key, value in values.items() if value is not None}
    return Row(name, tags, known, time_ms)


def _place(state: RackState) -> dict[str, str]:
    rack = state.rack
    return {"hall": rack.hall, "row": rack.row, "rack": rack.id}


def _rack(state: RackState) -> Values:
    return {
        "power_watts": state.power_watts,
        "inlet_temperature_celsius": state.inlet_celsius,
        "outlet_temperature_celsius": state.outlet_celsius,
        "dew_point_celsius": state.dew_point_celsius,
        **_gpus(state.gpus),
    }


def _hall(state: HallState) -> Values:
    inlets = state.inlets
    known, cooling = bool(inlets), state.cooling
    return {
        "racks_number": state.racks,
        "power_watts": state.power_watts,
        "inlets_number": len(inlets),
        "inlet_temperature_celsius": fsum(inlets) / len(inlets) if known else None,
        "inlet_temperature_min_celsius": min(inlets) if known else None,
        "inlet_temperature_max_celsius": max(inlets) if known else None,
        "dew_point_max_celsius": state.dew_point_max_celsius,
        "racks_above_recommended_number": state.above_recommended if known else None,
        "racks_above_allowable_number": state.above_allowable if known else None,
        "racks_below_recommended_number": state.below_recommended if known else None,
        "rack_cooling_index_high_ratio": None if cooling is None else cooling.high,
        "rack_cooling_index_low_ratio": None if cooling is None else cooling.low,
        **_gpus(state.gpus),
    }


def _gpus(gpus: RackGpus) -> Values:
    if not gpus.known:
        return {}
    return {
        "gpus_number": gpus.known,
        "gpus_reporting_number": gpus.reporting,
        "gpu_power_watts": gpus.power_watts,
        "gpu_power_min_watts": gpus.power_min_watts,
        "gpu_power_max_watts": gpus.power_max_watts,
        "gpu_utilization_ratio": gpus.utilization,
        "gpus_idle_number": gpus.idle,
        "gpus_idle_watts": gpus.idle_watts,
        "gpu_temperature_max_celsius": gpus.temperature_max_celsius,
        "gpu_memory_temperature_max_celsius": gpus.memory_temperature_max_celsius,
        "gpus_throttled_number": gpus.throttled,
        "gpus_braked_number": gpus.braked,
        "gpu_ecc_uncorrected_errors_total": gpus.ecc_uncorrected,
    }
