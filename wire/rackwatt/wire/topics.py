# SPDX-License-Identifier: Apache-2.0
"""Topics: `rackwatt/v1/{site}/{hall}/{agent}/{last}`.

`last` is a kind of reading or one of the reserved names. The agent's name is its MQTT user name,
so that one access pattern of a broker keeps it from speaking for another.
"""

import re
from dataclasses import dataclass
from typing import Final

from rackwatt.wire.readings import KINDS

ROOT: Final = "rackwatt/v1"
STATUS: Final = "status"
INVENTORY: Final = "inventory"
REPLAY: Final = "replay"
RESERVED: Final = (STATUS, INVENTORY, REPLAY)

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class TopicError(ValueError):
    """A topic outside the contract."""


def check_name(name: str, what: str) -> str:
    """Return `name` if it may stand in a topic.

    Raises:
        ValueError: it is empty, too long or holds a character that a topic or an access list
            gives a meaning to.
    """
    if _NAME.fullmatch(name) is None:
        msg = (
            f"{what} {name!r} must be 1 to 100 letters, digits, '.', '_' or '-', "
            "and begin with a letter or digit"
        )
        raise ValueError(msg)
    return name


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic, taken apart."""

    site: str
    hall: str
    agent: str
    last: str

    @staticmethod
    def parse(text: str) -> "Topic":
        """Take a topic apart.

        Raises:
            TopicError: not one of ours.
        """
        parts = text.split("/")
        if len(parts) != 6 or not text.startswith(f"{ROOT}/"):
            raise TopicError(f"topic {text[:200]!r} is not {ROOT}/site/hall/agent/kind")
        _, _, site, hall, agent, last = parts
        if last not in KINDS and last not in RESERVED:
            raise TopicError(f"topic {text[:200]!r} ends in an unknown kind {last!r}")
        try:
            for name, what in ((site, "site"), (hall, "hall"), (agent, "agent")):
                check_name(name, what)
        except ValueError as error:
            raise TopicError(str(error)) from error
        return Topic(site, hall, agent, last)

    def __str__(self) -> str:
        """The topic as it stands on the wire."""
        return f"{ROOT}/{self.site}/{self.hall}/{self.agent}/{self.last}"


def subscriptions(site: str, halls: tuple[str, ...] | None = None) -> list[str]:
    """The topic filters of a collector of these halls (None: all halls).

    Kinds are subscribed to by name, so that a newer agent's new kind does not arrive unasked.
    """
    places = halls or ("+",)
    lasts = (*KINDS, STATUS, INVENTORY)
    return [f"{ROOT}/{site}/{hall}/+/{last}" for hall in places for last in lasts]
