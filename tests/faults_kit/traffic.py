# SPDX-License-Identifier: Apache-2.0
"""Messages of fleets, one after the other, until they are told to end."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from faults_kit.fleet import Fleet

STEP_SECONDS: Final = 0.05


class Traffic:
    """One message of each agent every 50 ms; a context."""

    def __init__(self, *fleets: Fleet) -> None:
        self._fleets = fleets
        self._ending = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending = True
        assert self._task is not None
        await self._task

    async def _run(self) -> None:
        at = time.time_ns() // 1_000_000 - 600_000
        while not self._ending:
            for one in self._fleets:
                await one.put(at)
            at += 50
            await asyncio.sleep(STEP_SECONDS)

    async def grown(self, count: int) -> None:
        """Wait until each fleet has `count` messages more."""
        wanted = [one.messages + count for one in self._fleets]
        while any(one.messages < most for one, most in zip(self._fleets, wanted, strict=True)):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.05)


def outboxes(folder: Path, *fleets: Fleet) -> Mapping[str, Path]:
    """The files of fleets' outboxes, by agent."""
    names = [agent.session._client_id for one in fleets for agent in one.agents]
    return {name: folder / f"{name}.db" for name in names}
