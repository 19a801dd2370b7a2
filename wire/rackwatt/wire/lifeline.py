# SPDX-License-Identifier: Apache-2.0
"""How a child process notices that its supervisor is gone, even by SIGKILL.

The supervisor holds the writing end of a pipe, each child inherits the reading end, whose number
stands in the environment. The kernel closes the writing end with the supervisor: the child reads
the end of file. No process identifier is guessed, and it works on every POSIX system.
"""

import asyncio
import os
from typing import Final

VARIABLE: Final = "RACKWATT_LIFELINE_FD"


def supervised() -> bool:
    """Whether a supervisor started this process."""
    return VARIABLE in os.environ


async def parent_gone() -> None:
    """Wait until the supervisor is gone; for ever when there is none."""
    number = os.environ.get(VARIABLE)
    loop = asyncio.get_running_loop()
    gone = loop.create_future()
    if number is None:
        await gone
        return
    descriptor = int(number)

    def readable() -> None:
        if os.read(descriptor, 1) == b"" and not gone.done():
            gone.set_result(None)

    loop.add_reader(descriptor, readable)
    try:
        await gone
    finally:
        loop.remove_reader(descriptor)
