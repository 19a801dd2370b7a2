# SPDX-License-Identifier: Apache-2.0
"""The accountant's signals: looked at every few seconds, told at each scrape."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from prometheus_client.core import Metric

from rackwatt.collector.live.chain import ChainState
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.live.figures import Figures
from rackwatt.collector.roles.sorting import Batch
from rackwatt.collector.signals import metrics as m
from rackwatt.collector.signals.cooling import Cooling
from rackwatt.collector.signals.feeds import MEMORY, Feeds
from rackwatt.collector.signals.gpus import TROUBLES, GpuTroubles
from rackwatt.collector.signals.meters import Watched
from rackwatt.collector.signals.supply import Supply
from rackwatt.collector.signals.weather import Expectation
from rackwatt.collector.site import Rack, Site
from rackwatt.wire.clock import Clock
from rackwatt.wire.metrics import MetricSpec, Sample
from rackwatt.wire.periodic import ticks

SECONDS: Final = 2.0
SLOW_SECONDS: Final = 10.0
_SLOW_MEMORY: Final = 8
"""Looks back, likewise."""
MANY_RACKS: Final = 500
EXPECTATION_FILE: Final = "pue-expectation.json"


class Signals:
    """What alerts need beside the figures.

    Characteristics: looks every 2 s, at sites of more than 500 racks every 10 s, in a thread
    while nobody changes the readings; a scrape renders what the last look found.

    Args:
        site: the site.
        devices: what its devices said last.
        clock: where the time comes from.
        turn: held while readings are read: they are changed by another thread.
        folder: where what is learned is kept.
        chains: the chains as they were looked at last.
        figures: the figures of now, None before the first.
    """

    def __init__(
        self,
        site: Site,
        devices: Devices,
        clock: Clock,
        turn: asyncio.Lock,
        folder: Path,
        *,
        chains: Callable[[], ChainState],
        figures: Callable[[], Figures | None],
    ) -> None:
        self._site = site
        self._devices = devices
        self._clock = clock
        self._turn = turn
        self._chain_state = chains
        self._figures = figures
        racks = {rack.id: (rack.hall, rack.row) for rack in site.racks}
        many = len(site.racks) > MANY_RACKS
        memory = _SLOW_MEMORY if many else MEMORY
        self._feeds = Feeds(site.chains.power, racks, memory)
        self._supply = Supply(site, devices)
        self._cooling = Cooling(site, devices)
        self._gpus = GpuTroubles()
        self._meters = Watched(site)
        self._expectation = Expectation(folder / EXPECTATION_FILE, clock.monotonic)
        self._families: Sequence[Metric] = ()

    def observe(self, batch: Batch) -> None:
        """Take what came; in the same turn as the devices."""
        for _, items in batch.inventories:
            self._meters.inventories(items)
        for kind, reading, received_ms in batch.readings:
            if kind == "power":
                self._meters.observe(reading)
            elif reading.event is not None:
                when = min(reading.time_ms, received_ms)
                self._gpus.event(reading.device, reading.event, when)

    async def run(self) -> None:
        """Look until cancelled; a turn that is missed is skipped."""
        seconds = SLOW_SECONDS if len(self._site.racks) > MANY_RACKS else SECONDS
        async for _ in ticks(seconds, self._clock):
            feeds = await asyncio.to_thread(self._of_feeds)
            async with self._turn:
                read = await asyncio.to_thread(self._of_readings)
            self._families = [family for family in (*feeds, *read) if family.samples]

    def families(self) -> Sequence[Metric]:
        """The metrics of the last look."""
        return self._families

    def look(self) -> list[Metric]:
        """Look at everything; blocks."""
        return [f for f in (*self._of_feeds(), *self._of_readings()) if f.samples]

    def _of_readings(self) -> list[Metric]:
        now = self._clock.now_ms()
        racks = self._site.racks_at(now)
        return [
            *self._of_supply(now),
            *self._of_racks(racks, now),
            *self._of_coolant(now),
            *self._of_gpus(racks, now),
            *self._of_meters(now),
            *self._of_weather(now),
        ]

    def _told(self, spec: MetricSpec, rows: Iterator[tuple[str | float, ...]]) -> Metric:
        """Rows of labels and a value, the site put before them."""
        samples: list[Sample] = [
            ((self._site.id, *(str(label) for label in labels)), float(value))
            for *labels, value in rows
        ]
        return spec.family(samples)

    def _one(self, spec: MetricSpec, value: float | None) -> Metric:
        return spec.family([] if value is None else [((self._site.id,), value)])

    def _of_feeds(self) -> list[Metric]:
        feeds, states = self._feeds, self._chain_state().edges
        if not states:
            return []
        up = [
            (home.hall, home.row, edge.id, feeds.side(edge), float(alive))
            for edge, alive in feeds.up(states)
            for home in [feeds.home(edge)]
        ]
        meters, silent = feeds.meters(states)
        return [
            self._told(m.FEED_UP, iter(up)),
            self._told(m.FEED_METERS, ((*key, float(n)) for key, n in meters.items())),
            self._told(m.FEED_METERS_SILENT, ((*key, float(n)) for key, n in silent.items())),
        ]

    def _of_supply(self, now: int) -> list[Metric]:
        supply, figures = self._supply, self._figures()
        load = None if figures is None else figures.load_watts
        return [
            self._told(m.ON_BATTERY, supply.values("on_battery_ratio", now)),
            self._told(m.RUNTIME, supply.values("runtime_seconds", now)),
            self._told(m.VOLTAGE, supply.voltages(now)),
            self._told(m.FREQUENCY, supply.values("frequency_hertz", now)),
            self._one(m.BATTERY_ENERGY, supply.battery_watt_hours(now)),
            self._one(m.BATTERY_LASTS, supply.battery_seconds(now, load)),
        ]

    def _of_racks(self, racks: Sequence[Rack], now: int) -> list[Metric]:
        cooling = self._cooling
        power = ((rack, cooling.power(rack, now)) for rack in racks)
        inlet = ((rack, cooling.inlet(rack, "temperature_celsius", now)) for rack in racks)
        return [
            self._told(m.RACK_POWER, _by_rack(power)),
            self._told(m.INLET, _by_rack(inlet)),
            self._told(m.HUMIDITY, cooling.humidity(racks, now)),
        ]

    def _of_coolant(self, now: int) -> list[Metric]:
        cooling = self._cooling
        units = cooling.units(now)
        fields = {
            m.COOLANT_SUPPLY: "supply_temperature_celsius",
            m.COOLANT_RETURN: "return_temperature_celsius",
            m.COOLANT_FLOW: "flow_liters_per_second",
        }
        return [
            self._told(m.COOLANT_DEVICES, cooling.silent(units, now)),
            *(self._told(spec, cooling.coolant(units, name, now)) for spec, name in fields.items()),
        ]

    def _of_gpus(self, racks: Sequence[Rack], now: int) -> list[Metric]:
        fleet = self._devices.fleet
        states: list[tuple[str | float, ...]] = []
        memory: list[tuple[str | float, ...]] = []
        for rack, reporting, silent, celsius in self._gpus.racks(fleet, racks, now):
            states.append((rack.hall, rack.id, "reporting", reporting))
            states.append((rack.hall, rack.id, "silent", silent))
            if celsius is not None:
                memory.append((rack.hall, rack.id, celsius))
        if not states:
            return []
        named, counts = self._gpus.found(fleet, racks, now)
        halls = dict.fromkeys(str(row[0]) for row in states)
        totals = ((hall, name, counts[hall, name]) for hall in halls for name in TROUBLES)
        gpus = ((rack.hall, rack.id, gpu, trouble, 1.0) for rack, gpu, trouble in named)
        return [
            self._told(m.GPUS, iter(states)),
            self._told(m.GPU_MEMORY, iter(memory)),
            self._told(m.GPU_TROUBLE, gpus),
            self._told(m.GPU_TROUBLES, totals),
        ]

    def _of_meters(self, now: int) -> list[Metric]:
        meters = self._meters
        resets = ((meter, at / 1000) for meter, at in meters.resets.items())
        return [
            self._one(m.METERS_WATCHED, float(len(meters.names))),
            self._told(m.UNCHANGED, iter(meters.unchanged(now).items())),
            self._told(m.RESET, resets),
        ]

    def _of_weather(self, now: int) -> list[Metric]:
        wet_bulb, figures = self._cooling.wet_bulb(now), self._figures()
        expected = None
        watts = None if figures is None else figures.sinks.get("it")
        if figures is not None and watts is not None:
            if figures.pue.value is not None:
                self._expectation.learn(figures.pue.value, watts, wet_bulb)
            expected = self._expectation.expected(watts, wet_bulb)
        return [self._one(m.WET_BULB, wet_bulb), self._one(m.PUE_EXPECTED, expected)]


def _by_rack(
    values: Iterator[tuple[Rack, float | None]],
) -> Iterator[tuple[str | float, ...]]:
    for rack, value in values:
        if value is not None:
            yield rack.hall, rack.row, rack.id, value
