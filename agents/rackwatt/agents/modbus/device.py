# SPDX-License-Identifier: Apache-2.0
"""One device: what is read of it, and what was learned about it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rackwatt.agents.modbus import words
from rackwatt.agents.modbus.link import Link, ReadFailed
from rackwatt.agents.modbus.points import (
    Adjustment,
    Decoded,
    Point,
    decode_points,
    exponent_of,
    register_at,
)
from rackwatt.agents.modbus.registermap import RegisterMap
from rackwatt.agents.modbus.schema import IdentityMap
from rackwatt.agents.modbus.spans import Span, plan
from rackwatt.agents.modbus.sunspec import survey
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import Clock
from rackwatt.wire.inventory import InventoryItem
from rackwatt.wire.readings import Quality

_log = logging.getLogger(__name__)

_REFUSED: Final = frozenset({2, 3})
"""Illegal address, illegal value: the request was too greedy, not the device broken."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The registers of one round."""

    memory: Mapping[int, int] = field(default_factory=dict)
    failed: Mapping[int, Quality] = field(default_factory=dict)
    whole: Quality | None = None
    """Why nothing at all could be read."""


class Device:
    """One device behind a link.

    Characteristics: after a time-out the rest of the round is given up, and the device is left
    alone for a growing while, so that it does not hold up the others of its link; a refused
    request is split, and stays split as long as the connection lasts.

    Args:
        name: on the wire.
        link: the connection.
        unit: unit number.
        register_map: what to read.
        adjust: ratio and direction.
        gap: see `plan`.
        limit: see `plan`.
        backoff: waits after time-outs.
        clock: where the time comes from.
    """

    def __init__(
        self,
        name: str,
        link: Link,
        unit: int,
        register_map: RegisterMap,
        adjust: Adjustment,
        gap: int,
        limit: int,
        backoff: Backoff,
        clock: Clock,
    ) -> None:
        self.name = name
        self.link = link
        self.unit = unit
        self.map = register_map
        self._adjust = adjust
        self._gap = gap
        self._limit = min(limit, register_map.file.max_registers)
        self._backoff = backoff
        self._clock = clock
        self._quiet_until = float("-inf")
        self._quiet_for = (0, Quality.TIMEOUT)
        self._generation = 0
        self._texts: Mapping[str, str] = {}
        self._memory: Mapping[int, int] = {}
        self._spans: tuple[Span, ...] = ()
        self._silent = False
        self.points: tuple[Point, ...] = register_map.points(adjust)
        self.fields = tuple(spec.name for point in self.points for spec in point.fields)

    async def take(self) -> Snapshot:
        """Read all registers once; never raises for the device."""
        if not self.link.up:
            return Snapshot(whole=Quality.TIMEOUT)
        generation, reason = self._quiet_for
        if generation == self.link.generation and self._clock.monotonic() < self._quiet_until:
            return Snapshot(whole=reason)
        try:
            if self._generation != self.link.generation:
                await self._learn()
            snapshot = await self._read_all()
        except ReadFailed as error:
            self._failed(error)
            return Snapshot(whole=error.quality)
        self._backoff.reset()
        if self._silent:
            _log.info("%s: answers again", self.name)
            self._silent = False
        self._memory = snapshot.memory
        return snapshot

    def decode(self, snapshot: Snapshot) -> Decoded:
        """The values of a round: each field that the map has, some None."""
        reason = snapshot.whole or Quality.NOT_SUPPORTED
        values: dict[str, float | None] = dict.fromkeys(self.fields)
        quality = dict.fromkeys(self.fields, reason)
        if snapshot.whole is None:
            decoded = decode_points(self.points, snapshot.memory, snapshot.failed)
            for name, value in decoded.values.items():
                values[name] = value
                quality.pop(name)
            quality.update(decoded.quality)
        return Decoded(values, quality)

    def inventory(self) -> InventoryItem:
        """What is known of the device so far."""
        registers = {}
        for point in self.points:
            exponent = exponent_of(point, self._memory)
            found = None if exponent is None else register_at(point, exponent)
            if found is not None:
                registers[point.spec.name] = found
        maker = self._texts.get("manufacturer", self.map.file.manufacturer)
        model = self._texts.get("model", self.map.file.device)
        return InventoryItem(
            device=self.name,
            model=f"{maker} {model}".strip(),
            serial=self._texts.get("serial", ""),
            firmware=self._texts.get("firmware", ""),
            registers=registers,
        )

    def _failed(self, error: ReadFailed) -> None:
        self._quiet_until = self._clock.monotonic() + self._backoff.next()
        self._quiet_for = (self.link.generation, error.quality)
        if not self._silent:
            _log.warning("%s (%s, unit %d): %s", self.name, self.link.name, self.unit, error)
            self._silent = True

    async def _learn(self) -> None:
        """What holds for a connection: where SunSpec models lie, the nameplate, the requests."""
        generation = self.link.generation
        file = self.map.file
        if file.sunspec is not None:

            async def read(address: int, count: int) -> list[int]:
                return await self.link.read(self.unit, file.function, address, count)

            found = await survey(read, file.sunspec.bases)
            self.points = self.map.points(self._adjust, found.models)
            self._texts = found.texts
            if not self.points:
                numbers = ", ".join(str(number) for number in found.models)
                message = f"none of the map's SunSpec models; the device has {numbers or 'none'}"
                raise ReadFailed(Quality.NOT_SUPPORTED, message)
        else:
            self._texts = await self._nameplate()
        self._spans = plan(self.points, self._gap, self._limit)
        self._generation = generation

    async def _nameplate(self) -> dict[str, str]:
        texts: dict[str, str] = {}
        for name in ("model", "serial", "firmware"):
            item: IdentityMap | None = getattr(self.map.file.identity, name)
            if item is None:
                continue
            try:
                texts[name] = await self._read_text(item)
            except ReadFailed as error:
                if error.quality is not Quality.EXCEPTION:
                    raise
                _log.info("%s: no %s: %s", self.name, name, error)
        return {name: text for name, text in texts.items() if text}

    async def _read_text(self, item: IdentityMap) -> str:
        file = self.map.file
        count = item.length if item.type == "text" else words.width(item.type)
        address = item.address + file.register_offset
        data = await self.link.read(self.unit, item.function or file.function, address, count)
        if item.type == "text":
            return words.text(data)
        return str(words.pattern(data, item.word_order or file.word_order))

    async def _read_all(self) -> Snapshot:
        memory: dict[int, int] = {}
        failed: dict[int, Quality] = {}
        done: list[Span] = []
        todo = list(reversed(self._spans))
        while todo:
            span = todo.pop()
            try:
                data = await self.link.read(self.unit, span.function, span.start, span.count)
            except ReadFailed as error:
                if error.quality is not Quality.EXCEPTION:
                    raise
                if error.code in _REFUSED and len(span.parts) > 1:
                    todo.extend(reversed(span.split()))
                    continue
                failed.update({span.start + i: error.quality for i in range(span.count)})
            else:
                memory.update({span.start + i: word for i, word in enumerate(data)})
            done.append(span)
        self._spans = tuple(done)
        return Snapshot(memory, failed)
