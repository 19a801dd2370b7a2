# SPDX-License-Identifier: Apache-2.0
"""The BACnet source: devices read on their own, the newest readings handed to the loop.

A controller behind a serial network may take seconds for an answer. Each device therefore has a
loop of its own, and a round of the agent takes what is new.
"""

import asyncio
import importlib.util
from collections.abc import Callable, Sequence

from rackwatt.agents.bacnet.numbers import PRESENT_VALUE, STATUS_FLAGS, UNITS_PROPERTY
from rackwatt.agents.bacnet.objectmap import (
    Answer,
    Problem,
    Ref,
    decode,
    load_object_map,
    object_name,
)
from rackwatt.agents.bacnet.peer import Part, Peer, Snapshot
from rackwatt.agents.bacnet.settings import Settings
from rackwatt.agents.bacnet.wire import Reader
from rackwatt.agents.source import Context, ProbeRow, StartError
from rackwatt.wire.config import ConfigError, ConfigErrors
from rackwatt.wire.inventory import InventoryItem
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Sample


class BacnetSource:
    """Reads every device at its pace.

    Args:
        settings: the devices.
        context: clock, folder, error counter.
        make_reader: makes what sends the requests; called at the start.

    Raises:
        ConfigErrors: a map file is wrong.
    """

    def __init__(
        self, settings: Settings, context: Context, make_reader: Callable[[], Reader]
    ) -> None:
        self._settings = settings
        self._context = context
        self._make_reader = make_reader
        self._reader: Reader | None = None
        self._peers: list[Peer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._ready: dict[str, Sample] = {}
        self._parts: list[Part] = []
        for row in settings.devices:
            object_map = load_object_map(row.map, context.config_dir)
            try:
                object_map = object_map.at(row.index)
            except ValueError as error:
                problem = ConfigError(f"device {row.device}", 1, "index", str(error))
                raise ConfigErrors([problem]) from error
            self._parts.append(Part(row, object_map, object_map.points()))

    def inventory(self) -> Sequence[InventoryItem]:
        """Model, firmware and energy registers, as far as devices have answered."""
        return [item for peer in self._peers for item in peer.inventory()]

    async def start(self) -> None:
        """Open the socket; no device is asked yet.

        Raises:
            StartError: the package is missing, or the address is taken.
        """
        if self._reader is not None:
            return
        if importlib.util.find_spec("bacpypes3") is None:
            raise StartError("fatal", "bacpypes3 is missing: pip install 'rackwatt[bacnet]'")
        reader = self._make_reader()
        try:
            await reader.open()
        except OSError as error:
            message = f"bacnet.listen: {self._settings.listen}: {error.strerror}"
            raise StartError("retry", message) from error
        self._reader = reader
        places: dict[object, list[Part]] = {}
        for part in self._parts:
            places.setdefault(part.row.place, []).append(part)
        clock = self._context.clock
        self._peers = [Peer(parts, reader, self._settings, clock) for parts in places.values()]

    async def sample(self) -> Sequence[Sample]:
        """What was read since the last round; the first round starts the reading."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._follow(peer), name=f"bacnet {peer.name}")
                for peer in self._peers
            ]
        for task in self._tasks:
            if task.done():
                task.result()  # a bug must not stay silent
        ready, self._ready = list(self._ready.values()), {}
        return ready

    async def _follow(self, peer: Peer) -> None:
        """Read a device at its pace; one that takes longer begins anew at once, never twice."""
        while True:
            begun = self._context.clock.monotonic()
            for sample in self._samples(peer, await peer.take()):
                self._ready[sample.device] = sample
            left = begun + self._settings.every - self._context.clock.monotonic()
            await asyncio.sleep(max(left, 0.02))

    def _samples(self, peer: Peer, snapshot: Snapshot) -> Sequence[Sample]:
        samples = []
        for part in peer.parts:
            decoded = decode(part.points, snapshot.answers, snapshot.whole)
            for name, reason in decoded.quality.items():
                # What a device does not have is no error; it would count up for ever.
                if reason is not Quality.NOT_SUPPORTED and decoded.values[name] is None:
                    self._context.errors.count(part.row.device, reason)
            samples.append(
                Sample(part.map.file.kind, part.row.device, decoded.values, decoded.quality)
            )
        return samples

    async def probe(self) -> Sequence[ProbeRow]:
        """One reading of everything, outside the loops."""
        snapshots = await asyncio.gather(*(peer.take() for peer in self._peers))
        rows: list[ProbeRow] = []
        for peer, snapshot in zip(self._peers, snapshots, strict=True):
            for part in peer.parts:
                rows += _probed(part, snapshot)
        return rows

    async def aclose(self) -> None:
        """End the loops, close the socket."""
        tasks, self._tasks = self._tasks, []
        reader, self._reader = self._reader, None
        self._peers = []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if reader is not None:
            await reader.aclose()


def _probed(part: Part, snapshot: Snapshot) -> list[ProbeRow]:
    decoded = decode(part.points, snapshot.answers, snapshot.whole)
    return [
        ProbeRow(
            device=part.row.device,
            field=spec.name,
            where=" ".join(object_name(*found) for found in point.objects),
            raw=" ".join(_raw(found, snapshot) for found in point.objects),
            value=decoded.values.get(spec.name),
            unit=spec.unit,
            quality=decoded.quality.get(spec.name),
        )
        for point in part.points
        for spec in point.fields
    ]


def _raw(found: tuple[int, int], snapshot: Snapshot) -> str:
    """`12.5 (unit 62)`, with the flags that are set."""
    answer = snapshot.answers.get(Ref(*found, PRESENT_VALUE))
    unit = snapshot.answers.get(Ref(*found, UNITS_PROPERTY))
    flags = snapshot.answers.get(Ref(*found, STATUS_FLAGS))
    text = _text(answer)
    if isinstance(unit, float):
        text += f" (unit {unit:g})"
    names = ("in alarm", "fault", "overridden", "out of service")
    if isinstance(flags, tuple) and len(flags) == len(names):
        text += "".join(f" [{name}]" for name, on in zip(names, flags, strict=True) if on)
    return text


def _text(answer: Answer) -> str:
    if isinstance(answer, Problem):
        return f"error {answer.error_class}/{answer.code}"
    if isinstance(answer, float):
        return f"{answer:.15g}"
    return "-" if answer is None else str(answer)
