# SPDX-License-Identifier: Apache-2.0
"""A socket that is read and written in large pieces gives the same bytes, errors and end."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from doubles import until

from rackwatt.wire.buffered import WRITE_BYTES, BufferedSocket

Pair = tuple[BufferedSocket, socket.socket]


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    buffered = BufferedSocket(ours)
    yield buffered, theirs
    buffered.close()
    theirs.close()


async def test_what_came_is_given_out_in_pieces(pair: Pair) -> None:
    ours, theirs = pair
    assert not ours.fill()
    with pytest.raises(BlockingIOError):
        ours.recv(1)
    theirs.send(b"abcdef")
    assert ours.fill()
    assert (ours.recv(1), ours.recv(2), ours.pending()) == (b"a", b"bc", 3)
    theirs.send(b"gh")
    assert ours.fill()  # behind what is left
    assert (ours.recv(100), ours.pending()) == (b"defgh", 0)
    with pytest.raises(BlockingIOError):
        ours.recv(1)


async def test_the_end_comes_behind_what_came_before_it(pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"last")
    theirs.close()
    assert ours.fill()
    assert ours.fill()
    assert (ours.recv(10), ours.recv(1), ours.recv(1)) == (b"last", b"", b"")


async def test_what_is_sent_in_one_turn_goes_out_together(pair: Pair) -> None:
    ours, theirs = pair
    for number in range(100):
        assert ours.send(bytes([number])) == 1
    with pytest.raises(BlockingIOError):
        theirs.recv(1000)
    await asyncio.sleep(0)
    assert theirs.recv(1000) == bytes(range(100))


async def test_more_than_the_system_takes_waits_within_a_bound(pair: Pair) -> None:
    ours, theirs = pair
    sent = bytearray()

    def send_all() -> None:
        for number in range(1000):
            piece = bytes([number % 251]) * 10_000
            ours.send(piece)
            sent.extend(piece)

    with pytest.raises(BlockingIOError):
        send_all()
    assert len(ours._out) <= WRITE_BYTES + 10_000
    came = bytearray()

    def all_here() -> bool:
        try:
            came.extend(theirs.recv(1_000_000))
        except BlockingIOError:
            return False
        return len(came) == len(sent)

    await until(all_here)
    assert came == sent
    assert ours.send(b"x") == 1


async def test_what_waits_is_sent_before_it_closes(pair: Pair) -> None:
    ours, theirs = pair
    ours.send(b"goodbye")
    ours.close()
    assert theirs.recv(100) == b"goodbye"
    assert theirs.recv(100) == b""


async def test_a_broken_connection_is_told_to_whoever_reads_or_sends(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    ours.send(b"x")
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="Broken pipe"):
        ours.send(b"y")
    ours.fill()
    assert ours.recv(1) == b""
