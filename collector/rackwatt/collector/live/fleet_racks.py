# SPDX-License-Identifier: Apache-2.0
"""What the GPUs of each rack say together, of columns that hold every GPU of a site."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rackwatt.collector.live.gpu_health import POWER_BRAKE, THERMAL_SLOWDOWN

Floats = NDArray[np.float64]

IDLE_RATIO: Final = 0.05
"""A GPU that is used less is idle; its power is spent on nothing."""


class RackGpus(NamedTuple):
    """What the GPUs of one rack say together; None = nobody knows.

    Attributes:
        known: GPUs ever seen there.
        reporting: of them, those with a known power.
        power_watts: of those that report.
        power_min_watts, power_max_watts: of one GPU.
        utilization: mean.
        idle: used less than 5 %.
        idle_watts: what these draw.
        temperature_max_celsius, memory_temperature_max_celsius: of one GPU.
        throttled: slowed down for their heat.
        braked: slowed down at the supply's request.
        ecc_uncorrected: errors since each GPU's driver was loaded.
    """

    known: int
    reporting: int
    power_watts: float | None
    power_min_watts: float | None
    power_max_watts: float | None
    utilization: float | None
    idle: int | None
    idle_watts: float | None
    temperature_max_celsius: float | None
    memory_temperature_max_celsius: float | None
    throttled: int | None
    braked: int | None
    ecc_uncorrected: float | None


def racks_of(columns: Mapping[str, Floats], where: NDArray[np.int64], count: int) -> list[RackGpus]:
    """One line per rack.

    Args:
        columns: by field, a value of each GPU; NaN: unknown.
        where: the number of each GPU's rack; `count`: none of them.
        count: how many racks.
    """
    order = np.argsort(where, kind="stable")
    edges = np.searchsorted(where[order], np.arange(count + 1))
    of = {name: values[order] for name, values in columns.items()}
    return [
        _rack({name: values[low:high] for name, values in of.items()})
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]


def _rack(of: Mapping[str, Floats]) -> RackGpus:
    power, load = of["power_watts"], of["utilization_ratio"]
    watts = power[~np.isnan(power)]
    idle = load < IDLE_RATIO
    reasons = of["clock_event_reasons_bitmask"]
    bits = reasons[~np.isnan(reasons)].astype(np.int64)
    return RackGpus(
        known=len(power),
        reporting=len(watts),
        power_watts=_of(watts, np.sum),
        power_min_watts=_of(watts, np.min),
        power_max_watts=_of(watts, np.max),
        utilization=_of(load, np.mean),
        idle=int(idle.sum()) if not np.isnan(load).all() else None,
        idle_watts=_idle_watts(power, load),
        temperature_max_celsius=_of(of["temperature_celsius"], np.max),
        memory_temperature_max_celsius=_of(of["memory_temperature_celsius"], np.max),
        throttled=int(((bits & THERMAL_SLOWDOWN) != 0).sum()) if len(bits) else None,
        braked=int(((bits & POWER_BRAKE) != 0).sum()) if len(bits) else None,
        ecc_uncorrected=_of(of["ecc_uncorrected_errors_total"], np.sum),
    )


def _idle_watts(power: Floats, load: Floats) -> float | None:
    """0 where all work; None where nobody knows who does, or what an idle one draws."""
    if np.isnan(load).all():
        return None
    idle = load < IDLE_RATIO
    return _of(power[idle], np.sum) if idle.any() else 0.0


def _of(values: Floats, how: Callable[[Floats], np.float64]) -> float | None:
    """A fold of what is known; None: nothing is."""
    known = values[~np.isnan(values)]
    return float(how(known)) if len(known) else None
