# SPDX-License-Identifier: Apache-2.0
"""A broker that dies while a session connects to it is tried again at once."""

import asyncio
import logging
import socket

import pytest
from doubles import Inbox, Running, session, until
from wire.sessions import TOPIC

_CONNACK = b"\x20\x02\x00\x00"


@pytest.mark.parametrize("answers", [0, 1], ids=["at-connect", "at-subscribe"])
async def test_a_connection_that_breaks_half_made_is_not_waited_for(
    answers: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The library alone would wait for its answer for ten seconds."""
    came = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        came += 1
        for _ in range(answers):
            await reader.read(1000)
            writer.write(_CONNACK)
        await reader.read(1000)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    taker = session(f"mqtt://127.0.0.1:{port}", "taker", Inbox(), TOPIC)
    async with server, Running(taker.run()):
        await until(lambda: came >= 5, 5.0)
        assert not taker.connected.is_set()
    told = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(told) >= 4
    assert "the broker ended the connection" in told[0].getMessage()


async def test_a_socket_that_closed_before_its_turn_is_not_watched() -> None:
    """Else a traceback is logged, or the number is another connection's by then."""
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    paho = session("mqtt://127.0.0.1:1", "taker", Inbox(), TOPIC)._new_client()._client
    ours, theirs = socket.socketpair()
    with theirs:
        assert paho.on_socket_register_write is not None
        paho.on_socket_register_write(paho, None, ours)
        ours.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not complaints
