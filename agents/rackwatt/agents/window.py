# SPDX-License-Identifier: Apache-2.0
"""From samples to what is sent: one value per field and sending window."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from rackwatt.wire.readings import FIELDS, FieldSpec, Kind, Quality
from rackwatt.wire.sample import Sample

_POWER = "power_watts"
_EXTREMES = ("power_min_watts", "power_max_watts")


@dataclass(slots=True)
class _Device:
    values: dict[str, list[float]] = field(default_factory=dict)
    quality: dict[str, Quality] = field(default_factory=dict)
    estimated: set[str] = field(default_factory=set)
    time_ms: int | None = None


class Window:
    """Collects samples and folds them: means for what flows, the last value for registers.

    A field that had at least one good sample has a value; one that had none is None with the
    last reason; one estimated sample makes the whole value estimated. `power_min_watts` and
    `power_max_watts` are made here from `power_watts`. Values beyond the contract's bounds become
    None, `out_of_range`; fields that the contract does not know are a driver's bug and raise.
    """

    def __init__(self) -> None:
        self._devices: dict[tuple[Kind, str], _Device] = {}
        self._events: list[Sample] = []

    def add(self, samples: Iterable[Sample]) -> None:
        """Take one round of samples.

        Raises:
            ValueError: a field that the contract does not know.
        """
        for sample in samples:
            if sample.event is not None:
                self._events.append(sample)
                continue
            device = self._devices.setdefault((sample.kind, sample.device), _Device())
            device.time_ms = sample.time_ms
            specs = FIELDS[sample.kind]
            for name, value in sample.values.items():
                spec = specs.get(name)
                if spec is None:
                    raise ValueError(f"{sample.device}: {sample.kind} has no field {name!r}")
                self._add_value(device, spec, value, sample.quality.get(name))

    @staticmethod
    def _add_value(
        device: _Device, spec: FieldSpec, value: float | None, quality: Quality | None
    ) -> None:
        series = device.values.setdefault(spec.name, [])
        if value is None:
            device.quality[spec.name] = quality or Quality.EXCEPTION
        elif not (math.isfinite(value) and spec.low <= value <= spec.high):
            device.quality[spec.name] = Quality.OUT_OF_RANGE
        else:
            series.append(float(value))
            if quality is Quality.ESTIMATED:
                device.estimated.add(spec.name)

    def close(self) -> list[Sample]:
        """The folded samples, sorted by kind and device; the window is empty afterwards."""
        folded = [
            self._fold(kind, name, device) for (kind, name), device in sorted(self._devices.items())
        ]
        events, self._events = self._events, []
        self._devices = {}
        return folded + events

    @staticmethod
    def _fold(kind: Kind, name: str, device: _Device) -> Sample:
        specs = FIELDS[kind]
        values: dict[str, float | None] = {}
        quality: dict[str, Quality] = {}
        for field_name, series in device.values.items():
            values[field_name] = fold(series, specs[field_name])
            if not series:
                quality[field_name] = device.quality[field_name]
            elif field_name in device.estimated:
                quality[field_name] = Quality.ESTIMATED
        powers = device.values.get(_POWER)
        if powers is not None and _EXTREMES[0] in specs and _EXTREMES[0] not in values:
            values[_EXTREMES[0]] = min(powers, default=None)
            values[_EXTREMES[1]] = max(powers, default=None)
            if not powers:
                quality |= dict.fromkeys(_EXTREMES, quality[_POWER])
        return Sample(kind, name, values, quality, time_ms=device.time_ms)


def fold(series: list[float], spec: FieldSpec) -> float | None:
    """One value of a window's samples, by the field's rule; None of none."""
    if not series:
        return None
    match spec.aggregate:
        case "mean":
            return math.fsum(series) / len(series)
        case "last":
            return series[-1]
        case "min":
            return min(series)
        case "max":
            return max(series)
        case "sum":
            return math.fsum(series)
