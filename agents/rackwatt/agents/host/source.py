# SPDX-License-Identifier: Apache-2.0
"""This machine as a source of the shared loop."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from rackwatt.agents.host.machine import Found, Machine
from rackwatt.agents.host.settings import Settings
from rackwatt.agents.source import Context, ProbeRow, StartError
from rackwatt.agents.worker import Worker
from rackwatt.wire.inventory import InventoryItem, Register
from rackwatt.wire.readings import FIELDS, Quality
from rackwatt.wire.sample import Sample

_PROBE_SECONDS: Final = 1.0
"""Utilisation and power are differences: a probe needs two readings."""
_REGISTER: Final = Register(resolution_watt_hours=1 / 3.6e9)
"""One microjoule; the roll-over of the packages' counters is taken out by the driver."""


class HostSource:
    """Reads this machine.

    Args:
        settings: the `host:` section.
        context: of the agent.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._device = settings.node or context.node
        self._machine = Machine(context.config_dir / settings.root, settings.disk)
        self._worker: Worker | None = None
        self._inventory: tuple[InventoryItem, ...] = ()

    def inventory(self) -> Sequence[InventoryItem]:
        """This machine, once it has started."""
        return self._inventory

    async def start(self) -> None:
        """Take the first reading, from which the first differences count.

        Raises:
            StartError: this is no Linux (fatal), or its files do not answer (retry).
        """
        await self.aclose()
        stat = self._context.config_dir / self._settings.root / "proc/stat"
        if not stat.exists():
            raise StartError(
                "fatal",
                f"{stat} is not there: the host source reads Linux's /proc and /sys, and this is "
                f"{sys.platform}; in a container set host.root to where the host's root is mounted",
            )
        self._worker = Worker(f"host-{self._device}")
        try:
            model, serial, kernel = await self._worker.call(
                self._machine.describe, self._settings.timeout
            )
            await self._read()
        except TimeoutError as error:
            await self.aclose()
            raise StartError("retry", f"{self._settings.root}: {error}") from error
        has_energy = self._machine.has_energy()
        registers = {"energy_import_watt_hours": _REGISTER} if has_energy else {}
        self._inventory = (
            InventoryItem(
                device=self._device,
                model=model,
                serial=serial,
                firmware=f"Linux {kernel}" if kernel else "",
                registers=registers,
            ),
        )

    async def sample(self) -> Sequence[Sample]:
        """All fields of this machine, or all null when its files do not answer in time."""
        if self._worker is None:
            return []
        found = await self._found()
        values = {item.field: item.value for item in found}
        quality = {item.field: item.quality for item in found if item.quality is not None}
        for reason in quality.values():
            if reason is not Quality.NOT_SUPPORTED:  # a property of the machine, no error
                self._context.errors.count(self._device, reason)
        return [Sample(kind="host", device=self._device, values=values, quality=quality)]

    async def probe(self) -> Sequence[ProbeRow]:
        """Every field once, with the file it comes from."""
        specs = FIELDS["host"]
        await asyncio.sleep(_PROBE_SECONDS)
        return [
            ProbeRow(
                self._device,
                item.field,
                item.where,
                item.raw,
                item.value,
                specs[item.field].unit,
                item.quality,
            )
            for item in await self._found()
        ]

    async def aclose(self) -> None:
        """End the thread."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    async def _found(self) -> list[Found]:
        """What `_read` gives, null with quality `timeout` if it does not come in time."""
        try:
            return await self._read()
        except TimeoutError:
            fields = self._machine.fields
            return [Found(name, "", "", None, Quality.TIMEOUT) for name in fields]

    async def _read(self) -> list[Found]:
        """Read in the thread.

        Raises:
            TimeoutError: a file does not answer.
        """
        if self._worker is None:
            return []
        clock, machine = self._context.clock, self._machine
        return await self._worker.call(
            lambda: machine.read(clock.monotonic()), self._settings.timeout
        )
