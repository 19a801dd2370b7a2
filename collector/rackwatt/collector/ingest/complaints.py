# SPDX-License-Identifier: Apache-2.0
"""What is said of refused messages: a flood of them must not become a flood of log lines."""

import logging
from typing import Final

from pydantic import ValidationError

from rackwatt.wire.clock import Clock
from rackwatt.wire.codec import Reason

_log = logging.getLogger(__name__)

LINES: Final = 20
"""Of each reason, within `SECONDS`; the rest is counted."""
SECONDS: Final = 60.0


class Complaints:
    """Says why messages were refused, at most `LINES` of each reason in a minute.

    Args:
        clock: where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: dict[Reason, tuple[float, int]] = {}

    def say(self, reason: Reason, topic: str, detail: str) -> None:
        """A message, or a part of one, was refused."""
        now = self._clock.monotonic()
        since, count = self._said.get(reason, (now, 0))
        if now - since >= SECONDS:
            if count > LINES:
                _log.warning("%s: %d more were rejected, not shown", reason, count - LINES)
            since, count = now, 0
        self._said[reason] = since, count + 1
        if count < LINES:
            _log.warning("%s: rejected, %s: %s", topic[:200], reason, detail)
        elif count == LINES:
            _log.warning("%s: more of them are counted, not shown, for %.0f s", reason, SECONDS)


def brief(error: ValidationError) -> str:
    """What is wrong, in short; a large message may have half a million faults."""
    if error.error_count() > 100:
        return f"{error.error_count()} faults in {error.title}"
    return str(error).replace("\n", " ")[:300]
