# SPDX-License-Identifier: Apache-2.0
"""Orders: what a command asks of a ledger that an accountant is writing.

A ledger has one writer, which holds the lock on ``ledger.lock`` beside it. A command that finds it
taken puts an order into the file and waits for its outcome; the accountant carries it out within a
second, in one transaction with the order's own state: once, whatever crashes.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from rackwatt.collector.ledger.chain import canonical
from rackwatt.wire.database import connect

OrderState = Literal["waiting", "done", "refused"]

RESTATE: Final = "restate"
RELEASE: Final = "release"
ACT: Final = "act"


class LedgerBusy(RuntimeError):  # noqa: N818 - a state, not a fault
    """Another process writes to the ledger: place an order."""


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked.

    Attributes:
        number: Its number.
        name: ``restate``, ``release`` or ``act``.
        data: What exactly; the arguments of the ledger's method, and for an act its ``name`` and
            ``data``.
        author: Who asks.
        reason: Why.
        placed_ms: When.
        state: Whether it was carried out.
        outcome: What came of it, or ``{"error": text}`` if it was refused.
    """

    number: int
    name: str
    data: Mapping[str, Any]
    author: str
    reason: str
    placed_ms: int
    state: OrderState
    outcome: Any


class WriterLock:
    """The right to write to a ledger; the kernel takes it back from a process that dies.

    Args:
        path: The ledger. One in memory needs no lock.

    Raises:
        LedgerBusy: Another process holds it.
        OSError: The lock file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._file: int | None = None
        if str(path) == ":memory:":
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(file)
            raise LedgerBusy(f"{path} is being written by an accountant") from error
        self._file = file

    def release(self) -> None:
        """Let go."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


_COLUMNS: Final = "id, name, data, author, reason, placed_ms, state, outcome"


def place_order(
    path: Path, name: str, data: Mapping[str, Any], author: str, reason: str, time_ms: int
) -> int:
    """Put an order into a ledger that another process writes; return its number.

    Raises:
        sqlite3.Error: The file is no ledger or cannot be written.
    """
    connection = connect(path)
    try:
        cursor = connection.execute(
            "INSERT INTO orders (name, data, author, reason, placed_ms, state)"
            " VALUES (?, ?, ?, ?, ?, 'waiting')",
            (name, canonical(dict(data)), author, reason, time_ms),
        )
        return int(cursor.lastrowid or 0)
    finally:
        connection.close()


def look_up(path: Path, number: int) -> Order | None:
    """Return an order as it stands.

    Raises:
        sqlite3.Error: The file is no ledger or cannot be read.
    """
    connection = connect(path, read_only=True)
    try:
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM orders WHERE id = ?",  # noqa: S608 - a constant
            (number,),
        ).fetchone()
        return None if row is None else _order(row)
    finally:
        connection.close()


class Orders:
    """The orders of a ledger, inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def waiting(self) -> list[Order]:
        """What waits, oldest first."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM orders WHERE state = 'waiting' ORDER BY id"  # noqa: S608
        )
        return [_order(row) for row in rows]

    def settle(self, order: Order, state: OrderState, outcome: object) -> Order:
        """Note what came of an order; return it as it stands now."""
        self._db.execute(
            "UPDATE orders SET state = ?, outcome = ? WHERE id = ?",
            (state, canonical(outcome), order.number),
        )
        return replace(order, state=state, outcome=outcome)


def _order(row: tuple[Any, ...]) -> Order:
    number, name, data, author, reason, placed, state, outcome = row
    return Order(number, name, json.loads(data), author, reason, placed, state, json.loads(outcome))
