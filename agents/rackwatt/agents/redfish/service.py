# SPDX-License-Identifier: Apache-2.0
"""One service: its devices, their values, and what is told about it."""

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from rackwatt.agents.judge import put
from rackwatt.agents.redfish.client import ROOT, Client, GetFailed
from rackwatt.agents.redfish.mapfile import Field, RedfishMap, fields_of
from rackwatt.agents.redfish.schema import Part, Read
from rackwatt.agents.redfish.settings import DeviceRow, Settings
from rackwatt.agents.redfish.stream import Parser, Told
from rackwatt.agents.redfish.values import Found, pick, raw_of, value_of
from rackwatt.agents.redfish.walk import Round, Spot, Walker, own_path_of
from rackwatt.agents.redfish.watching import Watcher
from rackwatt.agents.source import Context, ProbeRow
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.inventory import InventoryItem
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Event, Sample

_log = logging.getLogger(__name__)

_URGENT_SECONDS: Final = 2.0
"""Parts that are read this often do not queue behind the others."""
_PATIENCE_SECONDS: Final = 600.0
_MOST_EVENTS: Final = 1000
_LONGEST_LINE: Final = 1_100_000
_TRAILING: Final = re.compile(r"([0-9]+)$")
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Thing:
    """A device of the service."""

    name: str
    path: str
    item: InventoryItem


class Service:
    """One service and what the agent reads of it.

    Args:
        row: the service.
        settings: waits.
        redfish_map: what to read.
        client: HTTP to it.
        context: clock and error counter.
    """

    def __init__(
        self,
        row: DeviceRow,
        settings: Settings,
        redfish_map: RedfishMap,
        client: Client,
        context: Context,
    ) -> None:
        self.name = row.device
        self.parts: Mapping[str, Part] = redfish_map.parts(row.with_parts)
        self.client = client
        self.events: deque[Sample] = deque(maxlen=_MOST_EVENTS)
        self.hurry = asyncio.Event()
        """Set when the service told something: what is read slowly is read now."""
        self._map = redfish_map
        self._settings = settings
        self._context = context
        self._walker = Walker(client)
        self._watcher = Watcher()
        self._fields = {name: fields_of(part) for name, part in self.parts.items()}
        self._devices: dict[str, dict[str, Thing]] = {name: {} for name in self.parts}
        self._unnamed: set[str] = set()
        self._chosen: dict[tuple[str, str], int] = {}
        self._discover_at = float("-inf")
        self._hurry_at = float("-inf")
        self._silent = False
        self._root: Mapping[str, Any] = {}
        self._firmware: dict[str, str] = {}

    def every(self, part: str) -> float:
        """Seconds between two readings of a part."""
        return self._settings.every.get(part, self.parts[part].every)

    def inventory(self) -> list[InventoryItem]:
        """The service itself with its firmware, and its devices, as far as they are known."""
        model = _text(self._root, "Product") or self._map.file.device
        firmware = "; ".join(f"{name} {version}" for name, version in self._firmware.items())
        uuid = _text(self._root, "UUID")
        own = InventoryItem(device=self.name, model=model, uuid=uuid, firmware=firmware)
        found = [each.item for devices in self._devices.values() for each in devices.values()]
        return [own, *(item for item in found if item.device != self.name)]

    async def aclose(self) -> None:
        """Log out and close the connections."""
        await self._walker.close()
        await self.client.aclose()

    # -- finding ------------------------------------------------------------------------------

    async def _find(self, name: str) -> Sequence[Thing]:
        """The devices of a part; one that was found once stays.

        Raises:
            GetFailed: the service cannot be walked.
        """
        now = self._context.clock.monotonic()
        if now >= self._discover_at:
            self._walker.forget()
            self._chosen.clear()
            self._root = await self._walker.root()
            self._discover_at = now + self._settings.discover_every
        part, known = self.parts[name], self._devices[name]
        spots = await self._walker.find(ROOT, part.way)
        await asyncio.gather(*(self._learn(name, spot) for spot in spots))
        order = dict.fromkeys((*(spot.path for spot in spots), *known))
        return [known[path] for path in order if path in known]

    async def _learn(self, name: str, spot: Spot) -> None:
        part, known = self.parts[name], self._devices[name]
        if spot.path in known or spot.path in self._unnamed:
            return
        try:
            resource = await self.client.get(spot.path, fixed=True)
        except GetFailed:
            resource = {}
        uuid = _text(resource, "UUID")
        if not uuid and "{uuid}" in part.device:
            return  # its name is not known yet
        device = _named(part.device, self.name, spot.ids, uuid)
        everything = [each for devices in self._devices.values() for each in devices.values()]
        other = next((e for e in everything if e.name == device and e.path != spot.path), None)
        if other is not None:
            self._unnamed.add(spot.path)
            _log.warning(
                "%s: not read: %s, since %s is named %s too",
                self.name, spot.path, other.path, device,
            )  # fmt: skip
            return
        known[spot.path] = Thing(device, spot.path, self._item(name, device, resource))

    def _item(self, name: str, device: str, resource: Mapping[str, Any]) -> InventoryItem:
        identity = self.parts[name].identity
        maker = _text(resource, "Manufacturer")
        model = _text(resource, identity.model) or self._map.file.device
        return InventoryItem(
            device=device,
            model=f"{maker} {model}".strip(),
            serial=_text(resource, identity.serial),
            uuid=_text(resource, "UUID"),
            firmware=_text(resource, identity.firmware),
            registers={
                field.spec.name: field.register
                for field in self._fields[name]
                if field.register is not None
            },
        )

    # -- reading ------------------------------------------------------------------------------

    async def poll(self, name: str) -> list[Sample]:
        """A part, read once; never raises for the service."""
        part = self.parts[name]
        now = Round(self.client, urgent=self.every(name) <= _URGENT_SECONDS)
        try:
            devices = await self._find(name)
            samples = await asyncio.gather(*(self._sample(now, name, each) for each in devices))
        except GetFailed as error:
            self._fails(error)
            known = self._devices[name].values()
            samples = [self._nothing(name, each, error.quality) for each in known]
        else:
            reasons = [reason for sample in samples for reason in sample.quality.values()]
            answered = any(v is not None for sample in samples for v in sample.values.values())
            if answered or not reasons:
                self._answers()
            elif set(reasons) - {Quality.NOT_SUPPORTED} == {Quality.TIMEOUT}:
                self._fails(GetFailed(Quality.TIMEOUT, f"{part.way}: no answer in time"))
        finally:
            await now.close()
        for sample in samples:
            for reason in sample.quality.values():
                if reason is not Quality.NOT_SUPPORTED:
                    self._context.errors.count(sample.device, reason)
        return list(samples)

    def _nothing(self, name: str, device: Thing, reason: Quality) -> Sample:
        fields = [field.spec.name for field in self._fields[name]]
        kind = self.parts[name].kind
        return Sample(kind, device.name, dict.fromkeys(fields), dict.fromkeys(fields, reason))

    async def _sample(self, now: Round, name: str, device: Thing) -> Sample:
        part = self.parts[name]
        values: dict[str, float | None] = {}
        quality: dict[str, Quality] = {}
        fields = self._fields[name]
        got = await asyncio.gather(*(self._value(now, device, field) for field in fields))
        for field, (value, _, _) in zip(fields, got, strict=True):
            put((field.spec,), value, values, quality)
        for watch in part.watch:
            seen = await self._walker.read(now, device.path, watch.way) or []
            for event in self._watcher.look(device.name, watch, seen):
                self._tell(device.name, event)
        return Sample(part.kind, device.name, values, quality)

    async def _value(
        self, now: Round, device: Thing, field: Field
    ) -> tuple[float | Quality, Read, Sequence[Found]]:
        """A field's value, from the first of its places that has it."""
        key = (device.path, field.spec.name)
        chosen = self._chosen.get(key)
        value: float | Quality = Quality.NOT_SUPPORTED
        read, found = field.places[0], list[Found]()
        for index, place in enumerate(field.places):
            if chosen is not None and index != chosen:
                continue
            seen = await self._walker.read(now, device.path, place.way)
            if seen is None:
                continue
            read, found = place, [resource for _, resource in seen]
            value = value_of(field.spec, read, found)
            if not isinstance(value, Quality):
                self._chosen[key] = index
            if value is not Quality.NOT_SUPPORTED:
                break
        return value, read, found

    async def probe(self) -> list[ProbeRow]:
        """Everything once, as the service gave it and as it becomes."""
        rows: list[ProbeRow] = []
        for name in self.parts:
            now = Round(self.client)
            try:
                devices, fields = await self._find(name), self._fields[name]
                rows += await asyncio.gather(
                    *(self._row(now, device, field) for device in devices for field in fields)
                )
            except GetFailed as error:
                self._fails(error)
                rows.append(
                    ProbeRow(self.name, name, self.parts[name].way, "-", None, "", error.quality)
                )
            finally:
                await now.close()
        return rows

    async def _row(self, now: Round, device: Thing, field: Field) -> ProbeRow:
        value, read, found = await self._value(now, device, field)
        values: dict[str, float | None] = {}
        quality: dict[str, Quality] = {}
        put((field.spec,), value, values, quality)
        name = field.spec.name
        where = f"{read.way or '.'}#{read.value}"
        return ProbeRow(
            device.name, name, where, raw_of(read, found), values[name], field.spec.unit,
            quality.get(name),
        )  # fmt: skip

    async def read_firmware(self) -> None:
        """Read the firmware inventory; a change of a version is told."""
        way = self._map.file.firmware
        if way is None:
            return
        now = Round(self.client)
        try:
            seen = await self._walker.read(now, ROOT, way) or []
        finally:
            await now.close()
        for spot, resource in seen:
            if isinstance(resource, Quality):
                continue
            name, version = spot.ids[-1] if spot.ids else spot.path, _text(resource, "Version")
            before = self._firmware.get(name)
            if before is not None and before != version:
                text = f"firmware {name}: {before or '-'} became {version or '-'}"
                self._tell(self.name, Event("firmware_changed", "info", text))
            self._firmware[name] = version

    # -- telling ------------------------------------------------------------------------------

    def _tell(self, device: str, event: Event) -> None:
        self.events.append(Sample("event", device, event=event))

    def _fails(self, error: GetFailed) -> None:
        if not self._silent:
            self._silent = True
            _log.warning("%s: %s", self.name, error)
            self._tell(self.name, Event("redfish_silent", "warning", f"no readings: {error}"[:500]))

    def _answers(self) -> None:
        if self._silent:
            self._silent = False
            _log.info("%s: answers again", self.name)
            self._tell(self.name, Event("redfish_answers", "info", "readings are back"))

    async def listen(self) -> None:
        """Hear the service's events until cancelled; without a stream, look for one now and then.

        What is heard here is told as it was said; the readings and states that it is about are
        read at once as well, so that nothing hangs on an event that was lost.
        """
        parser, backoff = Parser(), Backoff(1.0, 60.0)
        while True:
            wait = self._settings.discover_every
            try:
                uri = await self._stream_uri()
                if uri is not None:
                    wait = 0.0
                    async with self.client.stream(uri, parser.last, _PATIENCE_SECONDS) as answer:
                        async for line in _lines(answer):
                            backoff.reset()
                            for told in parser.feed(line):
                                self._heard(told)
            except GetFailed as error:
                _log.debug("%s: events: %s", self.name, error)
                wait = 0.0
            await asyncio.sleep(wait or backoff.next())

    async def _stream_uri(self) -> str | None:
        spots = await self._walker.find(ROOT, "EventService")
        if not spots:
            return None
        service = await self.client.get(spots[0].path, fixed=True)
        return own_path_of(service.get("ServerSentEventUri"))

    def _heard(self, told: Told) -> None:
        self._tell(self._device_of(told.path), told.event)
        now = self._context.clock.monotonic()
        if now >= self._hurry_at:
            self._hurry_at = now + 1.0
            self.hurry.set()
            self.hurry = asyncio.Event()

    def _device_of(self, path: str) -> str:
        """The device whose resource a path lies in; else the service."""
        best = max(
            (
                each
                for devices in self._devices.values()
                for each in devices.values()
                if f"{path}/".startswith(f"{each.path.rstrip('/')}/")
            ),
            key=lambda each: len(each.path),
            default=None,
        )
        return self.name if best is None else best.name


async def _lines(answer: httpx.Response) -> AsyncIterator[str]:
    """Lines of a stream; one that has no end breaks it.

    Raises:
        GetFailed: a line without end.
    """
    rest = b""
    async for chunk in answer.aiter_bytes():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace").removesuffix("\r")
        if len(rest) > _LONGEST_LINE:
            raise GetFailed(Quality.EXCEPTION, "an event without end")


def _text(resource: Mapping[str, Any], pointer: str | None) -> str:
    found = pick(resource, pointer) if pointer else []
    return found[0].strip()[:200] if found and isinstance(found[0], str) else ""


def _named(template: str, device: str, ids: Sequence[str], uuid: str) -> str:
    """The name of a device on the wire."""
    first, last = (ids[0], ids[-1]) if ids else ("", "")
    return template.format(
        device=device,
        id=_UNFIT.sub("-", last),
        number=_number(last),
        id1=_UNFIT.sub("-", first),
        number1=_number(first),
        uuid=_UNFIT.sub("-", uuid),
    )


def _number(text: str) -> str:
    """The number at the end of an id, without leading zeros; without one, the id."""
    match = _TRAILING.search(text)
    return str(int(match[1])) if match else _UNFIT.sub("-", text)
