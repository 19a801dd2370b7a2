# SPDX-License-Identifier: Apache-2.0
"""One BACnet device: where it is, what is asked of it, and what was learned about it."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rackwatt.agents.bacnet.numbers import (
    ANY_DEVICE,
    DEVICE,
    FIRMWARE_REVISION,
    MODEL_NAME,
    OBJECT_IDENTIFIER,
    SERIAL_NUMBER,
    VENDOR_NAME,
)
from rackwatt.agents.bacnet.objectmap import (
    Answer,
    ObjectMap,
    Point,
    Problem,
    Ref,
    whole_number,
)
from rackwatt.agents.bacnet.settings import DeviceRow, Settings
from rackwatt.agents.bacnet.wire import Reader, ReadFailed, Station
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import Clock
from rackwatt.wire.inventory import InventoryItem
from rackwatt.wire.readings import Quality

_log = logging.getLogger(__name__)
_LEARN_AGAIN: Final = 600.0
"""Seconds after which units and scales are read anew: someone may have changed them."""
_NAMEPLATE: Final = (MODEL_NAME, VENDOR_NAME, FIRMWARE_REVISION, SERIAL_NUMBER)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The answers of one round."""

    answers: Mapping[Ref, Answer] = field(default_factory=dict)
    whole: Quality | None = None
    """Why nothing at all could be read."""


@dataclass(frozen=True, slots=True)
class Part:
    """One row of the configuration: some objects of the device, as a device of ours."""

    row: DeviceRow
    map: ObjectMap
    points: tuple[Point, ...]


class Peer:
    """One BACnet device with all rows that read from it.

    Characteristics: one request at a time, for building controllers are small; after a time-out
    it is left alone for a growing while, then looked for anew.

    Args:
        parts: its rows; the place is that of the first.
        reader: sends the requests.
        settings: size of requests, waits.
        clock: where the time comes from.
    """

    def __init__(
        self, parts: Sequence[Part], reader: Reader, settings: Settings, clock: Clock
    ) -> None:
        self.parts = parts
        self._row = parts[0].row
        self._reader = reader
        self._size = settings.max_properties
        self._backoff = Backoff(settings.retry_first, settings.retry_cap)
        self._clock = clock
        self._lock = asyncio.Lock()
        self._quiet_until = float("-inf")
        self._learn_at = float("-inf")
        self._reason = Quality.TIMEOUT
        self._silent = False
        self._multiple = True
        self._station: Station | None = None
        self._fixed: Mapping[Ref, Answer] = {}
        self._told: set[str] = set()
        points = [point for part in parts for point in part.points]
        self._often = tuple(dict.fromkeys(ref for point in points for ref in point.often))
        self._once = tuple(dict.fromkeys(ref for point in points for ref in point.once))

    @property
    def name(self) -> str:
        """For messages."""
        return self._row.device

    async def take(self) -> Snapshot:
        """Ask for everything once; never raises for the device."""
        async with self._lock:
            if self._clock.monotonic() < self._quiet_until:
                return Snapshot(whole=self._reason)
            try:
                if self._station is None or self._clock.monotonic() >= self._learn_at:
                    self._station, self._fixed = await self._meet()
                    self._learn_at = self._clock.monotonic() + _LEARN_AGAIN
                answers = await self._read(self._station, self._often)
            except ReadFailed as error:
                self._fail(error)
                return Snapshot(whole=error.quality)
        self._backoff.reset()
        if self._silent:
            _log.info("%s: answers again", self.name)
            self._silent = False
        return Snapshot({**self._fixed, **answers})

    def inventory(self) -> list[InventoryItem]:
        """What is known of the device so far, for each of its rows."""
        texts = {ref.property: found for ref, found in self._fixed.items() if ref.type == DEVICE}
        vendor, model, firmware, serial = (
            str(texts[number]) if isinstance(texts.get(number), str) else ""
            for number in (VENDOR_NAME, MODEL_NAME, FIRMWARE_REVISION, SERIAL_NUMBER)
        )
        items = []
        for part in self.parts:
            registers = {
                point.spec.name: register
                for point in part.points
                if (register := point.register(self._fixed)) is not None
            }
            model_text = f"{vendor or part.map.file.manufacturer} {model or part.map.file.device}"
            items.append(
                InventoryItem(
                    device=part.row.device,
                    model=model_text,
                    serial=serial,
                    firmware=firmware,
                    registers=registers,
                )
            )
        return items

    def _fail(self, error: ReadFailed) -> None:
        self._reason = error.quality
        self._quiet_until = self._clock.monotonic() + self._backoff.next()
        self._station = None  # behind the same address another device may come back
        if not self._silent:
            _log.warning("%s: %s", self.name, error)
            self._silent = True

    async def _meet(self) -> tuple[Station, Mapping[Ref, Answer]]:
        """Look for the device, make sure that it is the right one, and learn its nameplate."""
        row = self._row
        address = await self._reader.resolve(row.host, row.port)
        station: Station | None = None
        if row.instance is not None and row.mac is None:
            station = await self._reader.find(address, row.network, row.instance)
            if station is None and row.network is not None:
                message = f"{row.host}: device {row.instance} does not answer a Who-Is"
                raise ReadFailed(Quality.TIMEOUT, message)
        if station is None:
            mac = b"" if row.mac is None else bytes([row.mac])
            station = Station(address, row.network or 0, mac)
        number = ANY_DEVICE if row.instance is None else row.instance
        found = whole_number(
            await self._reader.read_one(station, Ref(DEVICE, number, OBJECT_IDENTIFIER))
        )
        if row.instance is not None and found != row.instance:
            message = f"{station}: another device answers, not device {row.instance}"
            raise ReadFailed(Quality.EXCEPTION, message)
        self._multiple = True
        nameplate: dict[Ref, Answer] = {}
        if found is not None:
            refs = [Ref(DEVICE, found, prop) for prop in _NAMEPLATE]
            nameplate = await self._read(station, refs)
        fixed = {**nameplate, **await self._read(station, self._once)}
        self._tell_units(fixed)
        return station, fixed

    def _tell_units(self, fixed: Mapping[Ref, Answer]) -> None:
        for part in self.parts:
            for point in part.points:
                problem = point.unit_problem(fixed)
                if problem is not None and problem not in self._told:
                    self._told.add(problem)
                    _log.warning("%s: %s", part.row.device, problem)

    async def _read(self, station: Station, refs: Sequence[Ref]) -> dict[Ref, Answer]:
        answers: dict[Ref, Answer] = {}
        todo = [refs[i : i + self._size] for i in range(0, len(refs), self._size)][::-1]
        while todo:
            batch = todo.pop()
            if not self._multiple:
                for ref in batch:
                    answers[ref] = await self._read_one(station, ref)
                continue
            try:
                got = await self._reader.read(station, batch)
                # What is asked for and not in the answer is not simply absent.
                answers.update((ref, got.get(ref, Problem(0, 0))) for ref in batch)
            except ReadFailed as error:
                if not error.answered:
                    raise
                if error.unknown_service:
                    self._multiple = False
                    todo.append(batch)
                elif len(batch) == 1:
                    answers[batch[0]] = await self._read_one(station, batch[0])
                else:
                    half = len(batch) // 2
                    todo += [batch[half:], batch[:half]]
                    if error.too_big:
                        self._size = max(1, min(self._size, half))
        return answers

    async def _read_one(self, station: Station, ref: Ref) -> Answer:
        try:
            return await self._reader.read_one(station, ref)
        except ReadFailed as error:
            if not error.answered:
                raise
            return Problem(0, 0)
