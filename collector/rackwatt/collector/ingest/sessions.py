# SPDX-License-Identifier: Apache-2.0
"""The sessions that a collector has at its broker: the one in use, and those it has left.

A persistent session holds messages for a client that does not come any more until the broker's
disk is full. A collector's name at the broker says which halls it takes in, so that other halls
mean another session: the spool remembers each name that was used, and the old ones are ended once
the new one is there. What waited in an old session is asked for again by the gap watch.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import aiomqtt

from rackwatt.collector.ingest.state import Note
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.session import BrokerSettings

_log = logging.getLogger(__name__)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sessions (client_id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_CONNECT_SECONDS: Final = 10.0


def used(db: sqlite3.Connection) -> list[str]:
    """The client ids under which this spool's collector was, or is, known to its broker."""
    return [row[0] for row in db.execute("SELECT client_id FROM sessions ORDER BY client_id")]


def begun(client_id: str) -> Note:
    """A session is about to be used."""
    return Note("INSERT OR IGNORE INTO sessions VALUES (?)", [(client_id,)])


def ended(client_ids: Sequence[str]) -> Note:
    """The broker holds these no more."""
    return Note("DELETE FROM sessions WHERE client_id = ?", [(name,) for name in client_ids])


async def end_session(broker: BrokerSettings, client_id: str) -> None:
    """Have the broker forget a session: its subscriptions and what it holds for it.

    A client that is connected under this name is disconnected by it.

    Raises:
        aiomqtt.MqttError: the broker cannot be reached, or refuses.
        OSError: a certificate or the password file cannot be read.
    """
    host, port = broker.address
    async with aiomqtt.Client(
        host,
        port,
        username=broker.username,
        password=broker.password(),
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V311,
        clean_session=True,
        timeout=_CONNECT_SECONDS,
        tls_context=broker.tls(),
    ):
        _log.info("the broker holds nothing more for %s", client_id)


async def leave(
    broker: BrokerSettings, client_ids: Sequence[str], done: Callable[[str], Awaitable[None]]
) -> None:
    """End sessions, however long it takes; `done` remembers each."""
    backoff = Backoff(first=1.0, cap=60.0)
    for name in client_ids:
        while True:
            try:
                await end_session(broker, name)
            except (aiomqtt.MqttError, OSError) as error:
                _log.warning("%s: its session cannot be ended: %s; trying again", name, error)
                await asyncio.sleep(backoff.next())
            else:
                await done(name)
                break
