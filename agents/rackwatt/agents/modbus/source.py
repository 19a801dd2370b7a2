# SPDX-License-Identifier: Apache-2.0
"""The Modbus source: all devices of an agent, read at once."""

import asyncio
import importlib.util
from collections.abc import Mapping, Sequence

from rackwatt.agents.modbus.device import Device, Snapshot
from rackwatt.agents.modbus.link import Connect, Link
from rackwatt.agents.modbus.points import Adjustment, Point, exponent_of
from rackwatt.agents.modbus.registermap import load_map
from rackwatt.agents.modbus.settings import Settings
from rackwatt.agents.source import Context, ProbeRow, StartError
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.inventory import InventoryItem
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Sample


class ModbusSource:
    """Reads every device once a round.

    Characteristics: one connection per host and port, hosts at once, units of a host one after
    the other; a round lasts as long as its slowest host, and a host that stays silent costs at
    most one time-out per device before it is left alone for a while.

    Args:
        settings: the devices.
        context: clock, folder, error counter.
        connect: opens connections.

    Raises:
        ConfigErrors: a map file is wrong.
    """

    def __init__(self, settings: Settings, context: Context, connect: Connect) -> None:
        self._context = context
        self._timeout = settings.timeout
        self._tasks: list[asyncio.Task[None]] = []
        links: dict[tuple[str, int], Link] = {}
        self._devices: dict[Link, list[Device]] = {}

        def backoff() -> Backoff:
            return Backoff(settings.retry_first, settings.retry_cap)

        for row in settings.devices:
            key = (row.host, row.port)
            if key not in links:
                links[key] = Link(*key, settings.timeout, backoff(), connect)
            register_map = load_map(row.map, context.config_dir)
            device = Device(
                name=row.device,
                link=links[key],
                unit=register_map.file.unit_id if row.unit is None else row.unit,
                register_map=register_map,
                adjust=Adjustment(row.scale, row.invert),
                gap=settings.gap,
                limit=settings.max_registers,
                backoff=backoff(),
                clock=context.clock,
            )
            self._devices.setdefault(links[key], []).append(device)

    def inventory(self) -> Sequence[InventoryItem]:
        """Model, serial and energy registers, as far as devices have answered."""
        return [device.inventory() for group in self._devices.values() for device in group]

    async def start(self) -> None:
        """Begin to connect, and give every host one time-out to be there.

        Hosts that are not there are tried again in the background.

        Raises:
            StartError: pymodbus is not installed.
        """
        if importlib.util.find_spec("pymodbus") is None:
            raise StartError("fatal", "pymodbus is missing: pip install 'rackwatt[modbus]'")
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(link.run(), name=f"modbus {link.name}")
                for link in self._devices
            ]
        tried = [
            asyncio.create_task(link.tried.wait(), name=f"modbus first {link.name}")
            for link in self._devices
        ]
        _, late = await asyncio.wait(tried, timeout=2 * self._timeout)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def sample(self) -> Sequence[Sample]:
        """One round over all devices."""
        snapshots = await self._round()
        samples = []
        for device, snapshot in snapshots.items():
            decoded = device.decode(snapshot)
            self._count(device.name, decoded.quality)
            samples.append(
                Sample(device.map.file.kind, device.name, decoded.values, decoded.quality)
            )
        return samples

    async def probe(self) -> Sequence[ProbeRow]:
        """One round; registers in hexadecimal beside the values that they become."""
        rows = []
        for device, snapshot in (await self._round()).items():
            decoded = device.decode(snapshot)
            for point in device.points:
                where = f"unit {device.unit} {point.function} {point.address}"
                rows += [
                    ProbeRow(
                        device=device.name,
                        field=spec.name,
                        where=where,
                        raw=_raw(point, snapshot),
                        value=decoded.values.get(spec.name),
                        unit=spec.unit,
                        quality=decoded.quality.get(spec.name),
                    )
                    for spec in point.fields
                ]
        return rows

    async def aclose(self) -> None:
        """Close all connections."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _round(self) -> dict[Device, Snapshot]:
        taken: dict[Device, Snapshot] = {}

        async def one_link(devices: Sequence[Device]) -> None:
            for device in devices:
                taken[device] = await device.take()

        async with asyncio.TaskGroup() as tasks:
            for link, devices in self._devices.items():
                tasks.create_task(one_link(devices), name=f"modbus read {link.name}")
        return {device: taken[device] for group in self._devices.values() for device in group}

    def _count(self, device: str, quality: Mapping[str, Quality]) -> None:
        for reason in quality.values():
            # What a device does not have is no error; it would count up for ever.
            if reason is not Quality.NOT_SUPPORTED:
                self._context.errors.count(device, reason)


def _raw(point: Point, snapshot: Snapshot) -> str:
    start, count = point.parts[0]
    found = [snapshot.memory.get(start + i) for i in range(count)]
    text = " ".join("-" if word is None else f"0x{word:04X}" for word in found)
    if point.scale_address is not None:
        exponent = exponent_of(point, snapshot.memory)
        text += f" x 10^{'?' if exponent is None else exponent}"
    if point.factor is not None:
        words = [snapshot.memory.get(point.factor.address + i) for i in range(point.parts[-1][1])]
        text += " x " + " ".join("-" if word is None else f"0x{word:04X}" for word in words)
    return text
