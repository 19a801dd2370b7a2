# SPDX-License-Identifier: Apache-2.0
"""Finding out what a SunSpec device is: its marker, its models, its nameplate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from rackwatt.agents.modbus import words
from rackwatt.agents.modbus.link import ReadFailed
from rackwatt.agents.modbus.registermap import (
    COMMON_MODEL,
    COMMON_TEXTS,
    SUNS,
    SUNSPEC_END,
)
from rackwatt.wire.readings import Quality

_MOST_MODELS: Final = 64
"""More than any device has: a walk through nonsense ends."""


class Read(Protocol):
    """Holding registers of one unit."""

    async def __call__(self, address: int, count: int) -> list[int]:
        """Registers from `address`; raises ReadFailed."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a device says of itself."""

    models: Mapping[int, int]
    """Model ID to the address of its ID register; of several, the first."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """`manufacturer`, `model`, `firmware`, `serial`."""


async def survey(read: Read, bases: Sequence[int]) -> Survey:
    """Look for the marker and walk through the models.

    Raises:
        ReadFailed: no marker at any base (`not_supported`), or the device fails to answer.
    """
    base = await _find(read, bases)
    models: dict[int, int] = {}
    address = base + len(SUNS)
    for _ in range(_MOST_MODELS):
        if address + 1 > 0xFFFF:
            break
        number, length = await read(address, 2)
        if number == SUNSPEC_END:
            break
        models.setdefault(number, address)
        address += 2 + length
    return Survey(models, await _texts(read, models))


async def _find(read: Read, bases: Sequence[int]) -> int:
    for base in bases:
        try:
            if tuple(await read(base, 2)) == SUNS:
                return base
        except ReadFailed as error:
            # An exception only says that nothing is there; silence concerns the whole device.
            if error.quality is not Quality.EXCEPTION:
                raise
    places = ", ".join(str(base) for base in bases)
    raise ReadFailed(Quality.NOT_SUPPORTED, f"no SunSpec marker at {places}")


async def _texts(read: Read, models: Mapping[int, int]) -> dict[str, str]:
    if COMMON_MODEL not in models:
        return {}
    start = models[COMMON_MODEL]
    first = min(offset for offset, _ in COMMON_TEXTS.values())
    last = max(offset + count for offset, count in COMMON_TEXTS.values())
    data = await read(start + first, last - first)
    return {
        name: words.text(data[offset - first : offset - first + count])
        for name, (offset, count) in COMMON_TEXTS.items()
    }
