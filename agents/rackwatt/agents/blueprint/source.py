# SPDX-License-Identifier: Apache-2.0
"""The devices as a source of the shared loop.

Step 3 of a new agent: read, and survive everything that a device can do. What the loop expects:
`sample` reads every device once, never raises for one of them, and has a time-out for each. What
the loop does by itself: cadence, averaging, the outbox, sending, replay, status, metrics.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from rackwatt.agents.blueprint.protocol import POINTS, REQUEST, DeviceError, decode, parse
from rackwatt.agents.blueprint.settings import Device, Settings
from rackwatt.agents.source import Context, ProbeRow
from rackwatt.wire.inventory import InventoryItem
from rackwatt.wire.readings import FIELDS, Quality
from rackwatt.wire.sample import Sample

_LOG: Final = logging.getLogger(__name__)
_MAX_LINE_BYTES: Final = 1024
_MAX_OPEN: Final = 32
"""Connections at once: a round over many devices must not use up the file descriptors."""

Answer = dict[str, str] | Quality
"""The raw values of one device, or why there are none."""


class BlueprintSource:
    """Reads devices over TCP, one connection per reading.

    A protocol that keeps its connection open would open it on the first reading, drop it on every
    error, and wait with `rackwatt.wire.backoff.Backoff` before it opens it again.

    Args:
        settings: the `blueprint:` section.
        context: of the agent.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._open = asyncio.Semaphore(_MAX_OPEN)
        self._silent: set[str] = set()

    def inventory(self) -> Sequence[InventoryItem]:
        """The devices; a protocol that tells model and serial number adds them here."""
        return [InventoryItem(device=device.name) for device in self._settings.devices]

    async def start(self) -> None:
        """Nothing to open; a dead device is no reason not to start."""

    async def aclose(self) -> None:
        """Nothing is kept open between rounds."""

    async def sample(self) -> Sequence[Sample]:
        """One round over all devices, side by side."""
        devices = self._settings.devices
        answers = await asyncio.gather(*(self._ask(device) for device in devices))
        return [
            self._sample(device, answer) for device, answer in zip(devices, answers, strict=True)
        ]

    async def probe(self) -> Sequence[ProbeRow]:
        """Every device once, raw and decoded side by side."""
        rows: list[ProbeRow] = []
        for device in self._settings.devices:
            answer = await self._ask(device)
            for name, point in POINTS.items():
                raw = None if isinstance(answer, Quality) else answer.get(name)
                value, quality = (
                    (None, answer) if isinstance(answer, Quality) else decode(point, raw)
                )
                unit = FIELDS["climate"][point.field].unit
                shown = "-" if raw is None else f"{raw} {point.unit}"
                rows.append(ProbeRow(device.name, point.field, name, shown, value, unit, quality))
        return rows

    def _sample(self, device: Device, answer: Answer) -> Sample:
        values: dict[str, float | None] = {}
        quality: dict[str, Quality] = {}
        for name, point in POINTS.items():
            value, reason = (
                (None, answer) if isinstance(answer, Quality) else decode(point, answer.get(name))
            )
            values[point.field] = value
            if reason is not None:
                quality[point.field] = reason
                if reason is not Quality.NOT_SUPPORTED:
                    self._context.errors.count(device.name, reason)
        return Sample(kind="climate", device=device.name, values=values, quality=quality)

    async def _ask(self, device: Device) -> Answer:
        """What a device answers within its time-out; logged once when it falls silent."""
        try:
            async with self._open, asyncio.timeout(self._settings.timeout):
                answer = parse(await _exchange(device))
        except TimeoutError as error:
            return self._failed(device, Quality.TIMEOUT, str(error) or "no answer in time")
        except (OSError, ValueError, DeviceError) as error:
            return self._failed(device, Quality.EXCEPTION, str(error))
        if device.name in self._silent:
            self._silent.discard(device.name)
            _LOG.info("%s answers again", device.name)
        return answer

    def _failed(self, device: Device, quality: Quality, reason: str) -> Quality:
        if device.name not in self._silent:  # once, not every second
            self._silent.add(device.name)
            _LOG.warning("%s: %s", device.name, reason)
        return quality


async def _exchange(device: Device) -> str:
    """Ask a device once.

    Raises:
        OSError: it cannot be reached, or hangs up.
        ValueError: its answer is too long or no text.
    """
    reader, writer = await asyncio.open_connection(device.host, device.port, limit=_MAX_LINE_BYTES)
    try:
        writer.write(REQUEST)
        line = await reader.readline()
    finally:
        writer.close()
    if not line.endswith(b"\n"):
        raise ConnectionResetError("the device hung up within its answer")
    return line.decode("ascii")
