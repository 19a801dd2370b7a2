# SPDX-License-Identifier: Apache-2.0
"""The Modbus driver's connections."""

import asyncio
import contextlib

from rackwatt.agents.modbus.link import Link
from rackwatt.wire.backoff import Backoff


async def test_an_end_that_a_library_swallows_is_heeded() -> None:
    """As `asyncio.wait_for` of Python 3.11 does where a connection fails at that moment."""
    connecting = asyncio.Event()

    async def connect(host: str, port: int, timeout: float) -> None:
        connecting.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60.0)

    running = asyncio.create_task(Link("meter", 502, 1.0, Backoff(0.05, 0.1), connect).run())
    await connecting.wait()
    running.cancel()
    await asyncio.wait([running], timeout=5.0)
    assert running.cancelled()
