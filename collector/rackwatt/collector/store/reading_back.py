# SPDX-License-Identifier: Apache-2.0
"""Rollups made of what the store holds, piece by piece, in a thread beside the event loop."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final, Protocol

from rackwatt.collector.store.base import Row
from rackwatt.collector.store.marks import Level
from rackwatt.collector.store.read import StoredRow
from rackwatt.collector.store.rollups import (
    HOUR_MS,
    HOUR_RULES,
    MINUTE_MS,
    MINUTE_RULES,
    Point,
    Rules,
    fold,
    hour_name,
    minute_name,
)

_PIECE: Final = 2_000
"""Rows made before they are written: what is in memory at once."""

Asked = tuple[int, int, Collection[str]]
"""Begin and end of a span in ms, the end excluded, and the devices; none: all."""


class History(Protocol):
    """A store that can be asked for rows."""

    def history(
        self, measurement: str, start_ms: int, end_ms: int, devices: Collection[str] = ()
    ) -> Iterator[tuple[str, list[StoredRow]]]:
        """See `RollupStore.history`."""


async def read_back(
    store: History, level: Level, kind: str, asked: Asked
) -> AsyncGenerator[list[Row], None]:
    """Make minutes of readings, or hours of minutes.

    Raises:
        StoreUnavailable, StoreRefused: the store cannot be asked.
    """
    made = _made(store, level, kind, asked)
    loop = asyncio.get_running_loop()
    # One thread for all pieces: a connection to a file belongs to the thread that opened it.
    with ThreadPoolExecutor(1, thread_name_prefix="rollups-read") as thread:
        try:
            while rows := await loop.run_in_executor(thread, lambda: list(islice(made, _PIECE))):
                yield rows
        finally:
            await loop.run_in_executor(thread, made.close)


def _made(store: History, level: Level, kind: str, asked: Asked) -> Generator[Row, None, None]:
    if level == "minute":
        source, made, span, rules = kind, minute_name(kind), MINUTE_MS, MINUTE_RULES[kind]
    else:
        source, made, span, rules = (
            minute_name(kind), hour_name(kind), HOUR_MS, HOUR_RULES[kind],
        )  # fmt: skip
    for _, rows in store.history(source, *asked):
        yield from fold_stored(made, span, rules, rows)


def fold_stored(
    measurement: str, span: int, rules: Rules, rows: Iterable[StoredRow]
) -> Iterator[Row]:
    """A device's rollups of what is stored of it."""
    spans: dict[int, list[StoredRow]] = {}
    for row in rows:
        spans.setdefault(row.time_ms // span * span, []).append(row)
    for start, part in spans.items():
        points: list[Point] = [(row.time_ms, row.fields) for row in part]
        fields = fold(rules, points)
        if fields:
            tags = tuple(sorted(max(part, key=lambda row: row.time_ms).tags.items()))
            yield Row(measurement, tags, fields, start)
