# SPDX-License-Identifier: Apache-2.0
"""One device: what is asked of it, and what was learned about it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rackwatt.agents.snmp.oidmap import Answer, Decoded, OidMap, decode_points
from rackwatt.agents.snmp.wire import GetFailed, Getter
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import Clock
from rackwatt.wire.inventory import InventoryItem, Register
from rackwatt.wire.readings import Quality

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The answers of one round."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    failed: Mapping[str, Quality] = field(default_factory=dict)
    whole: Quality | None = None
    """Why nothing at all could be read."""


class Device:
    """One device.

    Characteristics: after a time-out the rest of the round is given up, and the device is left
    alone for a growing while; an object that makes a request fail costs its own value only.

    Args:
        name: on the wire.
        address: host and port.
        getter: sends the requests.
        oid_map: what to read, with its indexes.
        scale: ratio of the configuration row.
        max_varbinds: objects in one request.
        backoff: waits after time-outs.
        clock: where the time comes from.
    """

    def __init__(
        self,
        name: str,
        address: tuple[str, int],
        getter: Getter,
        oid_map: OidMap,
        scale: float,
        max_varbinds: int,
        backoff: Backoff,
        clock: Clock,
    ) -> None:
        self.name = name
        self.map = oid_map
        self.points = oid_map.points(scale)
        self.fields = tuple(spec.name for point in self.points for spec in point.fields)
        self._address = address
        self._getter = getter
        self._size = max_varbinds
        self._backoff = backoff
        self._clock = clock
        self._quiet_until = float("-inf")
        self._reason = Quality.TIMEOUT
        self._silent = False
        self._fixed: Mapping[str, Answer] = {}
        self._known = False
        wanted = [point.oid for point in self.points]
        wanted += [point.required_oid for point in self.points if point.required_oid]
        self._wanted = tuple(dict.fromkeys(wanted))

    async def take(self) -> Snapshot:
        """Ask for everything once; never raises for the device."""
        if self._clock.monotonic() < self._quiet_until:
            return Snapshot(whole=self._reason)
        answers: dict[str, Answer] = {}
        failed: dict[str, Quality] = {}
        try:
            if not self._known:
                self._fixed = await self._learn()
                self._known = True
            await self._ask(self._wanted, answers, failed)
        except GetFailed as error:
            self._fail(error)
            return Snapshot(whole=error.quality)
        self._backoff.reset()
        if self._silent:
            _log.info("%s: answers again", self.name)
            self._silent = False
        return Snapshot({**self._fixed, **answers}, failed)

    def decode(self, snapshot: Snapshot) -> Decoded:
        """The values of a round: each field that the map has, some None."""
        if snapshot.whole is not None:
            reason = snapshot.whole
            return Decoded(dict.fromkeys(self.fields), dict.fromkeys(self.fields, reason))
        return decode_points(self.points, snapshot.answers, snapshot.failed)

    def inventory(self) -> InventoryItem:
        """What is known of the device so far."""
        texts = {
            name: str(found)
            for name, oid in self.map.identity().items()
            if (found := self._fixed.get(oid)) is not None
        }
        registers = {}
        for point in self.points:
            digits = self._digits(point.decimals_oid)
            if point.register is not None and digits is not None:
                registers[point.spec.name] = _shifted(point.register, digits)
        return InventoryItem(
            device=self.name,
            model=f"{self.map.file.manufacturer} {texts.get('model', self.map.file.device)}",
            serial=texts.get("serial", ""),
            firmware=texts.get("firmware", ""),
            registers=registers,
        )

    def _digits(self, oid: str | None) -> int | None:
        if oid is None:
            return 0
        found = self._fixed.get(oid)
        return found if isinstance(found, int) else None

    def _fail(self, error: GetFailed) -> None:
        self._reason = error.quality
        self._quiet_until = self._clock.monotonic() + self._backoff.next()
        self._known = False  # behind the same address another device may come back
        if not self._silent:
            _log.warning("%s: %s", self.name, error)
            self._silent = True

    async def _learn(self) -> dict[str, Answer]:
        """The nameplate and the decimal digits: they stay as long as the device answers."""
        oids = [point.decimals_oid for point in self.points if point.decimals_oid is not None]
        oids += self.map.identity().values()
        answers: dict[str, Answer] = {}
        await self._ask(tuple(dict.fromkeys(oids)), answers, {})
        return answers

    async def _ask(
        self, oids: Sequence[str], answers: dict[str, Answer], failed: dict[str, Quality]
    ) -> None:
        todo = [oids[i : i + self._size] for i in range(0, len(oids), self._size)][::-1]
        while todo:
            batch = todo.pop()
            try:
                got = await self._getter.get(*self._address, batch)
            except GetFailed as error:
                if not error.status:
                    raise
                if len(batch) == 1:
                    failed[batch[0]] = Quality.EXCEPTION
                    continue
                half = len(batch) // 2
                todo += [batch[half:], batch[:half]]
                if error.too_big:
                    self._size = max(1, min(self._size, half))
            else:
                answers.update(got)
                failed.update({oid: Quality.EXCEPTION for oid in batch if oid not in got})


def _shifted(register: Register, digits: int) -> Register:
    scale = 10.0**-digits
    modulus, step = register.modulus_watt_hours, register.resolution_watt_hours
    return Register(
        modulus_watt_hours=None if modulus is None else modulus * scale,
        resolution_watt_hours=None if step is None else step * scale,
    )
