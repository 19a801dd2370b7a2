# SPDX-License-Identifier: Apache-2.0
"""What happens to an answer that arrives while the agent stops."""

import asyncio
import importlib
import socket
from typing import Any

from rackwatt.agents.snmp.settings import PUBLIC
from rackwatt.agents.snmp.wire import PysnmpGetter

UDP: Any = importlib.import_module("pysnmp.carrier.asyncio.dgram.udp")


async def test_an_answer_on_its_way_leaves_no_trace() -> None:
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        host, port = silent.getsockname()
        getter = PysnmpGetter(PUBLIC, timeout=1.0, retries=0)
        asking = asyncio.create_task(getter.get(host, port, ["1.3.6.1.2.1.1.1.0"]))
        request = await loop.run_in_executor(None, silent.recv, 65536)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    transport = getter._engine.transport_dispatcher.get_transport(UDP.DOMAIN_NAME)
    # As the loop does when a datagram comes in the very turn in which the agent stops.
    transport.datagram_received(request, (host, port))
    await getter.aclose()
    for _ in range(3):
        await asyncio.sleep(0)
    assert complaints == []
