# SPDX-License-Identifier: Apache-2.0
"""From what meters said over some seconds to probes that can be checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import fsum, hypot, sqrt
from statistics import median
from typing import Any, Final

from rackwatt.collector.accounting.commissioning.comparing import Family
from rackwatt.collector.accounting.commissioning.findings import Phase, Probe
from rackwatt.collector.meters.readings import kin
from rackwatt.collector.site import Site
from rackwatt.collector.site.topology import Meter, net_counts

FRESH_MS: Final = 30_000
_BOTH_WAYS: Final = frozenset({"grid", "battery"})
_EXPORTS: Final = ("power_export_watts", "power_discharge_watts")


@dataclass(slots=True)
class _Said:
    times: set[int] = field(default_factory=set)
    lags: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)


class Samples:
    """Gathers answers of ``/api/meters/METER``: each reading once, however often it is seen."""

    def __init__(self) -> None:
        self._said: dict[str, _Said] = {}

    def add(self, answer: Mapping[str, Any]) -> None:
        """Take one answer; readings that are old by now count only for the clock.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is no such answer.
        """
        now = int(answer["time"])
        for meter, reading in answer["readings"].items():
            said = self._said.setdefault(str(meter), _Said())
            time_ms, received_ms = int(reading["time"]), int(reading["received"])
            if time_ms in said.times or now - received_ms > FRESH_MS:
                continue
            said.times.add(time_ms)
            said.lags.append((received_ms - time_ms) / 1000)
            for name, value in reading["values"].items():
                if value is not None:
                    said.values.setdefault(name, []).append(float(value))

    def readings(self, meter: str) -> int:
        """How many of a meter there are."""
        return len(self._said.get(meter, _Said()).times)

    def values(self, meter: str) -> dict[str, float]:
        """The median of each field of a physical meter."""
        said = self._said.get(meter, _Said())
        return {name: median(found) for name, found in said.values.items()}

    def lags(self, meter: str) -> list[float]:
        """From a physical meter's readings' own times to their receipt, s."""
        return self._said.get(meter, _Said()).lags


def probe_of(site: Site, samples: Samples, name: str, now_ms: int) -> Probe:
    """A meter as it was read; a virtual one by its members."""
    meters = site.meters_at(now_ms)
    meter = meters[name]
    if meter.virtual:
        counts = net_counts(meters, name)
        parts = [(one, count, _watts(samples.values(one))) for one, count in counts.items()]
        known = [(one, count, watts) for one, count, watts in parts if watts is not None]
        whole = fsum(count * watts for _, count, watts in known)
        spread = hypot(*(count * watts * _accuracy(meters[one]) for one, count, watts in known))
        accuracy = spread / abs(whole) if whole else 0.0
        return Probe(name, whole if len(known) == len(parts) else None, accuracy=accuracy)
    values = samples.values(name)
    ties = {tie.meter_id for tie in site.terms_at(now_ms).ties}
    return Probe(
        name,
        _watts(values),
        _phases(values),
        samples.lags(name),
        _accuracy(meter),
        meter.role in _BOTH_WAYS or name in ties,
    )


def family_of(
    site: Site,
    samples: Samples,
    name: str,
    now_ms: int,
    reference_watts: float | None = None,
    *,
    parent_feeds_more: bool = False,
    feeds_more: bool = False,
) -> Family:
    """What a meter is compared with."""

    def probes(names: Iterable[str]) -> list[Probe]:
        return [probe_of(site, samples, one, now_ms) for one in names]

    found = kin(site, name, now_ms)
    return Family(
        next(iter(probes(found["parent"])), None),
        probes(found["siblings"]),
        probes(found["children"]),
        reference_watts,
        parent_feeds_more,
        feeds_more,
    )


def _accuracy(meter: Meter) -> float:
    return hypot(meter.accuracy, meter.transformer_class) / 100 / sqrt(3)


def _watts(values: Mapping[str, float]) -> float | None:
    """Net power, forward positive; of a battery, charge is forward."""
    forward = values.get("power_watts", values.get("power_charge_watts"))
    if forward is None:
        return None
    return forward - fsum(values.get(name, 0.0) for name in _EXPORTS)


def _phases(values: Mapping[str, float]) -> tuple[Phase, ...]:
    found = tuple(
        Phase(
            values.get(f"power_l{at}_watts"),
            values.get(f"voltage_l{at}_volts"),
            values.get(f"current_l{at}_amperes"),
        )
        for at in (1, 2, 3)
    )
    return () if all(phase == Phase() for phase in found) else found
