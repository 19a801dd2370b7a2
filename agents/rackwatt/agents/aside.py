# SPDX-License-Identifier: Apache-2.0
"""Work that a loop waits for, but not for ever."""

import asyncio
from collections.abc import Awaitable, Callable


class Aside:
    """Runs one piece of work at a time; one that takes too long goes on beside the loop.

    Args:
        work: what is done.
        patience: s that `go` waits for it; None: until it is done.
    """

    def __init__(self, work: Callable[[], Awaitable[None]], patience: float | None) -> None:
        self._work = work
        self._patience = patience
        self._task: asyncio.Task[None] | None = None

    async def _run(self) -> None:
        await self._work()

    async def go(self) -> None:
        """Do the work, unless the last piece is still being done; wait for either."""
        if self._patience is None:
            await self._work()
            return
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="aside")
        await asyncio.wait([self._task], timeout=self._patience)
        if self._task.done():
            done, self._task = self._task, None
            done.result()

    async def finish(self) -> None:
        """Wait for the last piece, and do the work once more."""
        task, self._task = self._task, None
        if task is not None:
            await task
        await self._work()
