# SPDX-License-Identifier: Apache-2.0
"""What to do about a dead letter, by its reason."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rackwatt.wire.codec import Reason

_VERSION: Final = (
    "If the agent is newer than the collector, upgrade the collector and replay. "
    "If it is not, its driver or its device map is wrong: correct that, and drop the letter."
)

ADVICE: Final[Mapping[str, str]] = MappingProxyType(
    {
        Reason.BAD_TOPIC: (
            "Somebody publishes outside the contract, rackwatt/v1/SITE/HALL/AGENT/KIND. "
            "Find who may write there in the broker's access list, and drop the letter."
        ),
        Reason.WRONG_SITE: (
            "The agent's file names another site. Correct `agent.site` in it; what it sent under "
            "the wrong name cannot be replayed here: drop the letter."
        ),
        Reason.WRONG_HALL: (
            "The agent speaks from a hall that the site file does not give it. If the site file is "
            "wrong, correct it, start the collector again and replay. If the agent's file is "
            "wrong, or somebody borrows its name, correct that and drop the letter."
        ),
        Reason.TOO_MANY_AGENTS: (
            "More names speak than a site can have. Name the real agents in the site file; find "
            "who makes the names up; then replay what is yours."
        ),
        Reason.TOO_MANY_GAPS: (
            "The agent's numbers have more gaps than can be remembered: it makes them up, or its "
            "outbox is damaged. Look at the agent; replay once its gaps are closed."
        ),
        Reason.UNREADABLE: (
            "No message can be made out. If a newer agent sent it, upgrade the collector and "
            "replay; else somebody else publishes there, or it was damaged: drop the letter."
        ),
        Reason.TOO_LARGE: (
            "Larger than any message may be; only its beginning is kept, so it cannot be replayed. "
            "Have the agent read fewer devices, then drop the letter."
        ),
        Reason.BAD_READING: f"A reading has no device, no time, or a wrong form. {_VERSION}",
        Reason.BAD_VALUE: f"A field holds something that is no number. {_VERSION}",
        Reason.UNKNOWN_FIELD: f"A field that this collector does not know. {_VERSION}",
        Reason.OUT_OF_RANGE: (
            "A value that cannot be: a wrong unit, scale or sign in the device map, or a broken "
            "sensor. Correct the map; the value stays unknown: drop the letter."
        ),
        Reason.DEVICE_CONFLICT: (
            "Two agents report the same device, or one reports what only a GPU node's own agent, "
            "named after it, may. Take it out of one file, or name the agent after its node. If "
            "the wrong one was first, stop it, wait ten minutes, and replay."
        ),
        Reason.BAD_STATUS: (
            "A status that makes no sense. It is said anew every ten seconds: look at the agent's "
            "version and drop the letter."
        ),
        Reason.BAD_INVENTORY: (
            "An inventory that makes no sense. Upgrade the collector if the agent is newer, and "
            "replay; else drop the letter."
        ),
        Reason.REFUSED_BY_STORE: (
            "The database refused this row, in its own words above: often a field that has another "
            "type there, or a time beyond its retention. Correct that there, then replay."
        ),
    }
)


def advice(reason: str) -> str:
    """What to do."""
    return ADVICE.get(reason, "This version does not know the reason: see the release notes.")
