# SPDX-License-Identifier: Apache-2.0
"""What waits to be booked: in order, at once, and not too much of it."""

import asyncio
from collections.abc import Sequence

from doubles import Running, until

from rackwatt.collector.roles.backlog import Backlog, Piece
from rackwatt.collector.roles.sorting import Batch


class Book:
    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.seen: list[tuple[int, int, str]] = []

    async def __call__(self, batches: Sequence[Batch], through: int, spool: str) -> None:
        self.seen.append((len(batches), through, spool))
        await self.free.wait()


def piece(through: int, spool: str = "s", messages: int = 10) -> Piece:
    return Piece(Batch(), messages, through * 1000, through, spool)


async def test_what_came_meanwhile_is_booked_at_once() -> None:
    book = Book()
    backlog = Backlog(book)
    async with Running(backlog.run()):
        await backlog.put(piece(1))
        await until(lambda: bool(book.seen))
        await backlog.put(piece(2))
        await backlog.put(piece(3))
        assert (backlog.booked, backlog.oldest_ms) == (0, 1000)
        book.free.set()
        await backlog.drained()
    assert book.seen == [(1, 1, "s"), (2, 3, "s")]
    assert (backlog.booked, backlog.oldest_ms) == (3, None)


async def test_pieces_of_two_spools_are_not_mixed() -> None:
    book = Book()
    backlog = Backlog(book)
    book.free.set()
    await backlog.put(piece(7, "old"))
    await backlog.put(piece(1, "new"))
    async with Running(backlog.run()):
        await backlog.drained()
    assert book.seen == [(1, 7, "old"), (1, 1, "new")]


async def test_too_much_is_not_read() -> None:
    book = Book()
    backlog = Backlog(book, most=20)
    async with Running(backlog.run()):
        await backlog.put(piece(1))
        adding = asyncio.create_task(backlog.put(piece(2)))
        await until(lambda: backlog._pieces != [] or len(book.seen) > 0)
        await asyncio.sleep(0)
        assert not adding.done()
        book.free.set()
        await adding
