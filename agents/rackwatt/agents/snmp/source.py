# SPDX-License-Identifier: Apache-2.0
"""The SNMP source: all devices of an agent, asked at once."""

import asyncio
import importlib.util
from collections.abc import Callable, Sequence

from rackwatt.agents.snmp.device import Device, Snapshot
from rackwatt.agents.snmp.oidmap import Answer, OidMap, load_oid_map
from rackwatt.agents.snmp.settings import (
    PUBLIC,
    DeviceRow,
    MissingSecret,
    Secrets,
    Settings,
    resolve,
)
from rackwatt.agents.snmp.wire import Getter
from rackwatt.agents.source import Context, ProbeRow, StartError
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.config import ConfigError, ConfigErrors
from rackwatt.wire.inventory import InventoryItem
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Sample

MakeGetter = Callable[[Secrets], Getter]


class SnmpSource:
    """Reads every device once a round.

    Characteristics: one socket for each set of credentials; up to `concurrency` devices at once;
    a round lasts as long as its slowest device, and a device that stays silent costs at most its
    attempts before it is left alone for a while.

    Args:
        settings: the devices.
        context: clock, folder, error counter.
        make_getter: opens a socket for some credentials.

    Raises:
        ConfigErrors: a map file is wrong.
    """

    def __init__(self, settings: Settings, context: Context, make_getter: MakeGetter) -> None:
        self._settings = settings
        self._context = context
        self._make_getter = make_getter
        self._maps: list[tuple[DeviceRow, OidMap]] = []
        self._getters: dict[str, Getter] = {}
        self._devices: list[Device] = []
        self._limit = asyncio.Semaphore(settings.concurrency)
        for row in settings.devices:
            oid_map = load_oid_map(row.map, context.config_dir)
            try:
                self._maps.append((row, oid_map.at(row.index)))
            except ValueError as error:
                problem = ConfigError(f"device {row.device}", 1, "index", str(error))
                raise ConfigErrors([problem]) from error

    def inventory(self) -> Sequence[InventoryItem]:
        """Model, serial and energy counters, as far as devices have answered."""
        return [device.inventory() for device in self._devices]

    async def start(self) -> None:
        """Fetch the secrets and open the sockets; no device is asked yet.

        Raises:
            StartError: a package or a secret is missing.
        """
        if self._devices:
            return
        if importlib.util.find_spec("pysnmp") is None:
            raise StartError("fatal", "pysnmp is missing: pip install 'rackwatt[snmp]'")
        secrets = self._secrets()
        encrypted = any(item.version == "v3" for item in secrets.values())
        if encrypted and importlib.util.find_spec("cryptography") is None:
            raise StartError("fatal", "SNMPv3 privacy needs it: pip install cryptography")
        self._getters = {name: self._make_getter(item) for name, item in secrets.items()}
        settings = self._settings
        self._devices = [
            Device(
                name=row.device,
                address=(row.host, row.port),
                getter=self._getters[row.credentials],
                oid_map=oid_map,
                scale=row.scale,
                max_varbinds=settings.max_varbinds,
                backoff=Backoff(settings.retry_first, settings.retry_cap),
                clock=self._context.clock,
            )
            for row, oid_map in self._maps
        ]

    def _secrets(self) -> dict[str, Secrets]:
        found: dict[str, Secrets] = {}
        for name in {row.credentials for row, _ in self._maps}:
            entry = self._settings.credentials.get(name)
            try:
                found[name] = PUBLIC if entry is None else resolve(entry, self._context.config_dir)
            except MissingSecret as error:
                raise StartError("fatal", f"credentials '{name}': {error}") from error
        return found

    async def sample(self) -> Sequence[Sample]:
        """One round over all devices."""
        samples = []
        for device, snapshot in await self._round():
            decoded = device.decode(snapshot)
            for reason in decoded.quality.values():
                # What a device does not have is no error; it would count up for ever.
                if reason is not Quality.NOT_SUPPORTED:
                    self._context.errors.count(device.name, reason)
            samples.append(
                Sample(device.map.file.kind, device.name, decoded.values, decoded.quality)
            )
        return samples

    async def probe(self) -> Sequence[ProbeRow]:
        """One round; what the devices answered beside the values that it becomes."""
        rows = []
        for device, snapshot in await self._round():
            decoded = device.decode(snapshot)
            for point in device.points:
                raw = _raw(point.oid, snapshot)
                if point.decimals_oid is not None:
                    raw += f" / 10^{_raw(point.decimals_oid, snapshot)}"
                rows += [
                    ProbeRow(
                        device=device.name,
                        field=spec.name,
                        where=point.oid,
                        raw=raw,
                        value=decoded.values.get(spec.name),
                        unit=spec.unit,
                        quality=decoded.quality.get(spec.name),
                    )
                    for spec in point.fields
                ]
        return rows

    async def aclose(self) -> None:
        """Close all sockets."""
        getters, self._getters = self._getters, {}
        self._devices = []
        for getter in getters.values():
            await getter.aclose()
        # The sockets are closed by the loop's next turns.
        for _ in range(3):
            await asyncio.sleep(0)

    async def _round(self) -> list[tuple[Device, Snapshot]]:
        async def one(device: Device) -> Snapshot:
            async with self._limit:
                return await device.take()

        async with asyncio.TaskGroup() as tasks:
            running = [
                (device, tasks.create_task(one(device), name=f"snmp {device.name}"))
                for device in self._devices
            ]
        return [(device, task.result()) for device, task in running]


def _raw(oid: str, snapshot: Snapshot) -> str:
    if oid not in snapshot.answers:
        return "-"
    answer: Answer = snapshot.answers[oid]
    if answer is None:
        return "noSuchObject"
    return f"{answer} (0x{answer:X})" if isinstance(answer, int) and answer >= 0 else str(answer)
