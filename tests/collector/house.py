# SPDX-License-Identifier: Apache-2.0
"""Collectors that are served, and an accountant beside them."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from collecting import (
    LOADS,
    TOKEN,
    CollectorKit,
    ShiftedClock,
    collector_kit,
    message,
    small_site,
)
from doubles import START_MS, Running

from rackwatt.collector.roles.account import Accountant, AccountOptions
from rackwatt.collector.service import serve_http
from rackwatt.collector.store import EmbeddedStore
from servers.fixtures import free_port


@dataclass
class House:
    """Collectors that are served, and an accountant's folder."""

    folder: Path
    clock: ShiftedClock = field(default_factory=ShiftedClock)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    port: int = field(default_factory=free_port)

    async def collector(self, name: str = "a", port: int | None = None) -> tuple[CollectorKit, str]:
        kit = await self.stack.enter_async_context(
            collector_kit(self.folder / f"{name}.db", self.clock)
        )
        port = port or free_port()
        served = Running(serve_http(kit.door.app(), "127.0.0.1", port, kit.door.close))
        await self.stack.enter_async_context(served)
        return kit, f"http://127.0.0.1:{port}"

    def accountant(self, *urls: str, with_metrics: bool = False) -> Accountant:
        options = AccountOptions(
            urls, self.folder, "127.0.0.1", self.port, TOKEN, with_collector_metrics=with_metrics
        )
        return Accountant(small_site(), self.store(), options, self.clock)

    def store(self) -> EmbeddedStore:
        return EmbeddedStore(self.folder / "books", clock=self.clock)

    def query(self, text: str) -> list[tuple[Any, ...]]:
        path = self.folder / "ledger.db"
        if not path.exists():
            return []
        connection = sqlite3.connect(path)
        try:
            return connection.execute(text).fetchall()
        except sqlite3.OperationalError:
            return []
        finally:
            connection.close()

    def count(self, what: str = "inputs") -> int:
        return len(self.query(f"SELECT 1 FROM {what}"))  # noqa: S608 - of this file

    async def agent(self, name: str) -> dict[str, Any]:
        """What the page says of an agent, once it says something."""
        async with asyncio.timeout(15):
            while True:
                answer = await self.get("/api/frame")
                for agent in answer.json().get("agents", []) if answer.is_success else ():
                    if agent["name"] == name:
                        return dict(agent)
                await asyncio.sleep(0.05)

    async def metric(self, name: str, wanted: float | None) -> None:
        """Wait until a metric's one series has a value; None: until there is none."""
        values: list[float] = []
        try:
            async with asyncio.timeout(15):
                while True:
                    text = (await self.get("/metrics")).text
                    lines = [line for line in text.splitlines() if line.startswith(name)]
                    values = [float(line.rsplit(" ", 1)[1]) for line in lines]
                    if values == ([] if wanted is None else [wanted]):
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{name} is {values}, not {wanted}") from None

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as http:
            return await http.get(f"http://127.0.0.1:{self.port}{path}")


def minutes(count: int, before_ms: int = START_MS) -> Sequence[tuple[int, str, bytes]]:
    """Steady loads each 10 s, up to an instant."""
    steps = range(before_ms - count * 60_000, before_ms + 1, 10_000)
    return [message(at, LOADS) for at in steps]


VALUES = sum(len(values) for values in LOADS.values())
