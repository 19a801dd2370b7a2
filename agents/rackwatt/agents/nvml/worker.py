# SPDX-License-Identifier: Apache-2.0
"""One daemon thread for blocking calls.

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
    """Runs functions one after the other in a daemon thread of its own."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[], T]) -> "asyncio.Future[T]":
        """Run `function` in the thread; the result comes back to the running event loop."""
        future: Future[T] = Future()
        self._jobs.put((function, future))
        return asyncio.wrap_future(future)

    def stop(self) -> None:
        """End the thread after its present job; does not wait."""
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
