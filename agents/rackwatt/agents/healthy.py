# SPDX-License-Identifier: Apache-2.0
"""`rackwatt-agent healthy`: whether running agents still keep what they read; for health checks.

The outbox tells: it takes a message every `send_every`, with the broker there or not. No driver is
imported and no device is asked, so that a container may run this every half minute.
"""

import contextlib
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from rackwatt.agents.settings import AgentSettings, OutboxSettings
from rackwatt.wire.clock import Clock
from rackwatt.wire.config import load
from rackwatt.wire.database import connect

TEXT: Final = """\
Say whether running agents have kept a message lately: within three sending intervals and 30 s. A
broker that is away does not matter: it is the agent that is looked at. For health checks.
"""
MORE: Final = """\
examples:
  rackwatt-agent healthy meters.yaml

exit codes:
  0 every agent has
  1 one has not
  2 a wrong file
"""
_GRACE_SECONDS: Final = 30.0


class _Part(BaseModel):
    """Of an agent's file, what tells where its messages are; the rest is not looked at."""

    model_config = ConfigDict(extra="ignore")

    agent: AgentSettings
    outbox: OutboxSettings = OutboxSettings()


def command(paths: Sequence[Path], clock: Clock) -> int:
    """Print what is wrong; returns the exit code.

    Raises:
        ConfigErrors: a file is wrong.
    """
    parts = [(path, load(path, _Part)) for path in paths]
    code = 0
    for path, part in parts:
        outbox = path.resolve().parent / part.outbox.path
        limit = 3 * part.agent.send_every + _GRACE_SECONDS
        wrong = _problem(outbox, limit, clock.now_ms())
        if wrong is not None:
            print(f"{path}: {part.agent.name}: {wrong}", file=sys.stderr)
            code = 1
    return code


def _problem(outbox: Path, limit: float, now_ms: int) -> str | None:
    """What is wrong with an outbox; None: nothing.

    Args:
        outbox: the file.
        limit: how old its newest message may be, in seconds.
        now_ms: the present, ms since 1970 UTC.
    """
    if not outbox.exists():
        return f"there is no outbox {outbox}: it has never run"
    try:
        with contextlib.closing(connect(outbox, read_only=True)) as database:
            newest = database.execute(
                # Epochs are in no order: of each, the last message.
                "SELECT max((SELECT time_ms FROM messages m WHERE m.epoch = e.epoch"
                " ORDER BY seq DESC LIMIT 1)) FROM epochs e"
            ).fetchone()[0]
    except sqlite3.Error as error:
        return f"{outbox}: {error}"
    if newest is None:
        return "it has kept nothing yet"
    age = (now_ms - newest) / 1000
    return None if age <= limit else f"its newest message is {age:.0f} s old, of {limit:.0f} s"
