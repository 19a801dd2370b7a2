# SPDX-License-Identifier: Apache-2.0
"""Blocking calls in a thread of their own, with a time-out that holds.

`ThreadPoolExecutor` is not used on purpose: Python waits for its threads at exit, so a driver
that hangs would keep the process from ending.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """Runs functions one after the other in a daemon thread.

    Characteristics: at most one function at a time and none waiting. While one hangs, further
    calls fail at once, so that nothing piles up behind it.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._pending: asyncio.Future[Any] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """A function is still running."""
        return self._pending is not None and not self._pending.done()

    async def call(self, function: Callable[[], T], timeout: float) -> T:
        """Run `function` in the thread and wait for it, at most `timeout` seconds.

        A function that is late, or whose caller was cancelled, runs on; its result is dropped
        and its exception raised by the next call.

        Raises:
            TimeoutError: it takes longer, or an earlier one still hangs.
        """
        if self.busy:
            raise TimeoutError("the worker is still busy with an earlier call")
        if self._pending is not None:
            late, self._pending = self._pending, None
            late.result()
        job: Future[T] = Future()
        self._jobs.put((function, job))
        pending: asyncio.Future[T] = asyncio.wrap_future(job)
        self._pending = pending
        done, _ = await asyncio.wait({pending}, timeout=timeout)
        if not done:
            raise TimeoutError(f"no answer within {timeout:g} s")
        self._pending = None
        return pending.result()

    async def idle(self) -> None:
        """Wait until nothing runs."""
        if self._pending is not None:
            await asyncio.wait({self._pending})

    def stop(self) -> None:
        """End the thread after its present function; does not wait for it."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                future.set_exception(error)
            else:
                future.set_result(result)
