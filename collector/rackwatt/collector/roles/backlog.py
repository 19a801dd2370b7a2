# SPDX-License-Identifier: Apache-2.0
"""What was read of a spool and is shown already, and waits to be booked.

Figures must not wait for the ledger, which is busy for seconds when it closes an hour of a large
site. What came meanwhile is then booked at once, in one transaction.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from rackwatt.collector.roles.sorting import Batch

MOST_MESSAGES: Final = 100_000
"""Nothing more is read while so many wait."""


class Piece(NamedTuple):
    """A piece of a spool."""

    batch: Batch
    messages: int
    first_ms: int
    """When its first message was received."""
    through: int
    """Its last message."""
    spool: str


Book = Callable[[Sequence[Batch], int, str], Awaitable[None]]
"""Books pieces of the spool of that name, up to that message."""


class Backlog:
    """The pieces of one collector's spool that wait, in order.

    Characteristics: bounded; :meth:`run` books, whoever reads calls the rest.

    Args:
        book: books pieces.
        most: so many messages may wait before :meth:`put` does.
    """

    def __init__(self, book: Book, most: int = MOST_MESSAGES) -> None:
        self._book = book
        self._most = most
        self._pieces: list[Piece] = []
        self._booking: list[Piece] = []
        self._change = asyncio.Condition()
        self.booked = 0
        """The last message that is booked, of the spool that is read."""

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest message was received that is not booked; None: all are."""
        return min((p.first_ms for p in (*self._booking, *self._pieces)), default=None)

    async def run(self) -> None:
        """Book what comes until cancelled.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        while True:
            async with self._change:
                await self._change.wait_for(lambda: bool(self._pieces))
                spool = self._pieces[0].spool
                own = [piece for piece in self._pieces if piece.spool == spool]
                self._pieces = [piece for piece in self._pieces if piece.spool != spool]
                self._booking = own
            await self._book([piece.batch for piece in own], own[-1].through, spool)
            async with self._change:
                self._booking, self.booked = [], own[-1].through
                self._change.notify_all()

    async def put(self, piece: Piece) -> None:
        """Add a piece; wait until there is room for more."""
        async with self._change:
            self._pieces.append(piece)
            self._change.notify_all()
            await self._change.wait_for(self._has_room)

    def _has_room(self) -> bool:
        return sum(p.messages for p in (*self._booking, *self._pieces)) < self._most

    async def drained(self) -> None:
        """Wait until all that came is booked."""
        async with self._change:
            await self._change.wait_for(lambda: not self._pieces and not self._booking)
