# SPDX-License-Identifier: Apache-2.0
"""Blocking calls in a thread: one at a time, never the event loop's trouble."""

import asyncio
import threading

import pytest

from rackwatt.agents.worker import Worker


async def test_results_and_errors_come_back() -> None:
    worker = Worker("test")
    assert await worker.call(lambda: 42, 5.0) == 42
    with pytest.raises(ZeroDivisionError):
        await worker.call(lambda: 1 // 0, 5.0)
    worker.stop()


async def test_a_hanging_call_times_out_and_nothing_queues_behind_it() -> None:
    worker = Worker("test")
    release = threading.Event()
    ran: list[str] = []
    with pytest.raises(TimeoutError, match="no answer"):
        await worker.call(release.wait, 0.01)
    assert worker.busy
    with pytest.raises(TimeoutError, match="busy"):
        await worker.call(lambda: ran.append("queued"), 5.0)
    release.set()
    await asyncio.wait_for(worker.idle(), 5.0)
    await worker.call(lambda: ran.append("later"), 5.0)
    assert ran == ["later"]
    worker.stop()


async def test_the_error_of_a_late_call_is_not_lost() -> None:
    worker = Worker("test")
    release = threading.Event()

    def fail_late() -> None:
        release.wait()
        raise LookupError("late")

    with pytest.raises(TimeoutError):
        await worker.call(fail_late, 0.01)
    release.set()
    await asyncio.wait_for(worker.idle(), 5.0)
    with pytest.raises(LookupError, match="late"):
        await worker.call(lambda: None, 5.0)
    assert await worker.call(lambda: 1, 5.0) == 1
    worker.stop()


async def test_stop_ends_the_thread_which_is_a_daemon() -> None:
    """A daemon, so that a driver that hangs does not keep the process from ending."""
    worker = Worker("test")
    assert worker._thread.daemon
    worker.stop()
    worker._thread.join(5)
    assert not worker._thread.is_alive()
