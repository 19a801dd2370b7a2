# SPDX-License-Identifier: Apache-2.0
"""The Redfish source: services read on their own, the newest readings handed to the loop.

A controller may take seconds for an answer. Each part of each service therefore has a loop of its
own, and a round of the agent takes what is new: no slow service holds up another.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from rackwatt.agents.redfish.client import Client, GetFailed
from rackwatt.agents.redfish.mapfile import load_redfish_map
from rackwatt.agents.redfish.service import Service
from rackwatt.agents.redfish.settings import MissingSecret, Settings, resolve
from rackwatt.agents.source import Context, ProbeRow, StartError
from rackwatt.wire.inventory import InventoryItem
from rackwatt.wire.readings import Kind
from rackwatt.wire.sample import Sample

_FIRMWARE_SECONDS: Final = 3600.0
_FIRMWARE_AGAIN: Final = 60.0


class RedfishSource:
    """Reads every service at the pace of its parts.

    Args:
        settings: the services.
        context: clock, folder, error counter.

    Raises:
        ConfigErrors: a map file is wrong.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._maps = [
            (row, load_redfish_map(row.map, context.config_dir)) for row in settings.devices
        ]
        self._services: list[Service] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._ready: dict[tuple[Kind, str], Sample] = {}

    def inventory(self) -> Sequence[InventoryItem]:
        """Services with their firmware, and devices, as far as they have answered."""
        return [item for service in self._services for item in service.inventory()]

    async def start(self) -> None:
        """Look for the secrets; no service is asked yet.

        Raises:
            StartError: a secret or a file is missing.
        """
        if self._services:
            return
        known = self._settings.credentials
        for name in {row.credentials for row, _ in self._maps}:
            if name is not None:
                try:
                    resolve(known[name], self._context.config_dir)
                except KeyError:
                    raise StartError("fatal", f"no credentials '{name}'") from None
                except MissingSecret as error:
                    raise StartError("fatal", f"credentials '{name}': {error}") from error
        for row, redfish_map in self._maps:
            credentials = None if row.credentials is None else known[row.credentials]
            try:
                client = Client(
                    row, self._settings, credentials, self._context.config_dir, self._context.clock
                )
            except OSError as error:
                raise StartError("fatal", f"{row.device}: ca_file: {error}") from error
            service = Service(row, self._settings, redfish_map, client, self._context)
            self._services.append(service)

    async def sample(self) -> Sequence[Sample]:
        """What was read since the last round; the first round starts the reading."""
        if not self._tasks:
            for service in self._services:
                self._begin(service)
        for task in self._tasks:
            if task.done():
                task.result()  # a bug must not stay silent
        ready, self._ready = list(self._ready.values()), {}
        for service in self._services:
            ready += service.events
            service.events.clear()
        return ready

    def _begin(self, service: Service) -> None:
        for part in service.parts:
            self._run(self._follow(service, part), f"redfish {service.name} {part}")
        self._run(_firmware(service), f"redfish {service.name} firmware")
        if self._settings.events == "stream":
            self._run(service.listen(), f"redfish {service.name} events")

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

    async def _follow(self, service: Service, part: str) -> None:
        """Read a part at its pace; one that takes longer begins anew at once, never twice."""
        every = service.every(part)
        while True:
            begun = self._context.clock.monotonic()
            hurry = service.hurry
            for sample in await service.poll(part):
                self._ready[sample.kind, sample.device] = sample
            left = begun + every - self._context.clock.monotonic()
            try:
                async with asyncio.timeout(max(left, 0.02)):
                    await hurry.wait()
            except TimeoutError:
                continue

    async def probe(self) -> Sequence[ProbeRow]:
        """One reading of everything, outside the loops."""
        lists = await asyncio.gather(*(service.probe() for service in self._services))
        return [row for rows in lists for row in rows]

    async def aclose(self) -> None:
        """End the loops, log out, close the connections."""
        tasks, self._tasks = self._tasks, []
        services, self._services = self._services, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(service.aclose() for service in services))


async def _firmware(service: Service) -> None:
    while True:
        wait = _FIRMWARE_SECONDS
        try:
            await service.read_firmware()
        except GetFailed:
            wait = _FIRMWARE_AGAIN
        await asyncio.sleep(wait)
