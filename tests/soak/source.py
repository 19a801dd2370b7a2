# SPDX-License-Identifier: Apache-2.0
"""What the agents of the soak read: made-up devices whose every value is told apart."""

import random
from collections.abc import Sequence
from typing import Final

from soak.places import GPUS, METERS, RACK_WATTS, Member, gpu

from rackwatt.agents.source import ProbeRow
from rackwatt.wire.clock import SYSTEM_CLOCK
from rackwatt.wire.inventory import InventoryItem
from rackwatt.wire.sample import Event, Sample

_SLOW: Final = 10
"""Probes are read each so many rounds, some of them in each round."""
_EVENTS: Final = 0.01
"""Of a round, how likely it is that something happened."""


class SteppedClock:
    """The machine's clock with a wall time that can be set wrong."""

    def __init__(self) -> None:
        self.offset_ms = 0

    def now_ms(self) -> int:
        return SYSTEM_CLOCK.now_ms() + self.offset_ms

    def monotonic(self) -> float:
        return SYSTEM_CLOCK.monotonic()


class SoakSource:
    """Reads PDUs or meters in each round, or all GPUs of a node; probes now and then, and events.

    Args:
        member: whose devices.
        seed: of the values.
        load: what all racks take, in W.
    """

    def __init__(self, member: Member, seed: int, load: float) -> None:
        self._member = member
        self._load = load
        self._rng = random.Random(f"{seed}/{member.name}")  # noqa: S311 - repeatable
        self._round = 0
        self.quiet = False
        """Nothing more is read."""

    def inventory(self) -> Sequence[InventoryItem]:
        return ()

    async def start(self) -> None:
        """Nothing to connect to."""

    async def sample(self) -> Sequence[Sample]:
        if self.quiet:
            return ()
        self._round += 1
        if self._member.name == METERS:
            return self._meters()
        if self._member.is_node:
            return [self._gpu(gpu(self._member.name, number)) for number in range(GPUS)]
        found = [self._power(name, RACK_WATTS) for name in self._member.pdus]
        found += [self._climate(name) for name in self._turn(self._member.probes)]
        if self._rng.random() < _EVENTS:
            event = Event("soak_event", "info", f"round {self._round}")
            found.append(Sample("event", self._member.racks[0], event=event))
        return found

    async def probe(self) -> Sequence[ProbeRow]:
        return ()

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def _turn(self, names: Sequence[str]) -> Sequence[str]:
        """What of many devices is read in this round."""
        return [name for n, name in enumerate(names) if n % _SLOW == self._round % _SLOW]

    def _near(self, value: float) -> float:
        return value * self._rng.uniform(0.9, 1.1)

    def _power(self, device: str, watts: float) -> Sample:
        values = {"power_watts": self._near(watts), "voltage_volts": self._near(230.0)}
        return Sample("power", device, values)

    def _meters(self) -> list[Sample]:
        load = self._near(self._load)
        pv, wind = load * 0.3, load * 0.2
        charge = load * 0.05
        flows = {"grid-1": load * 1.25 + charge - pv - wind, "pv-1": pv, "wind-1": wind,
                 "cooling-1": load * 0.25}  # fmt: skip
        found = [Sample("power", name, {"power_watts": watts}) for name, watts in flows.items()]
        battery = {"power_charge_watts": charge, "power_discharge_watts": 0.0}
        return [*found, Sample("power", "battery-1", battery)]

    def _gpu(self, device: str) -> Sample:
        near = self._near
        names: dict[str, float | None] = {
            "power_watts": near(650.0), "power_instant_watts": near(650.0),
            "power_limit_watts": 1000.0, "temperature_celsius": near(55.0),
            "memory_temperature_celsius": near(70.0), "utilization_ratio": near(0.8),
            "memory_utilization_ratio": near(0.5), "memory_used_bytes": near(1e11),
            "sm_clock_hertz": near(1.9e9), "energy_import_watt_hours": 1e3 * self._round,
        }  # fmt: skip
        return Sample("gpu", device, names)

    def _climate(self, device: str) -> Sample:
        values = {"temperature_celsius": self._near(24.0), "humidity_ratio": self._near(0.45)}
        return Sample("climate", device, values)
