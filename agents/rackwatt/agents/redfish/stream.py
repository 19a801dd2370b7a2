# SPDX-License-Identifier: Apache-2.0
"""Events that a service tells: server-sent events to events of the wire. Pure but for the text."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rackwatt.wire.sample import Event, Severity

_LONGEST: Final = 1_000_000
_MOST: Final = 100
"""Events of one message; a flood of them is told as a number."""
_SEVERITY: Final[Mapping[str, Severity]] = {
    "OK": "info",
    "Warning": "warning",
    "Critical": "critical",
}
_HUMPS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and the path of the resource that it is about, or nothing."""

    path: str
    event: Event


@dataclass(slots=True)
class Parser:
    """Puts the lines of a stream together."""

    last: str = ""
    """Id of the last event."""
    _data: list[str] = field(default_factory=list)
    _size: int = 0
    _id: str = ""

    def feed(self, line: str) -> list[Told]:
        """Take a line without its end; the events that it completes."""
        if not line:
            return self._close()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._size += len(value)
            if self._size <= _LONGEST:
                self._data.append(value)
        elif name == "id" and "\0" not in value and value.isascii():
            self._id = value[:200]
        return []

    def _close(self) -> list[Told]:
        text, size = "\n".join(self._data), self._size
        self._data, self._size = [], 0
        self.last = self._id or self.last
        if not text or size > _LONGEST:
            return []
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return []
        return list(_events(message))


def _events(message: object) -> Iterator[Told]:
    records = message.get("Events") if isinstance(message, Mapping) else None
    if not isinstance(records, list):
        return
    for record in records[:_MOST]:
        if isinstance(record, Mapping):
            yield _told(record)
    if len(records) > _MOST:
        text = f"{len(records) - _MOST} more events in one message were not kept"
        yield Told("", Event("redfish_events_dropped", "warning", text))


def _told(record: Mapping[str, Any]) -> Told:
    message_id = str(record.get("MessageId") or record.get("EventType") or "event")
    word = message_id.rpartition(".")[2]
    code = re.sub(r"[^a-z0-9]+", "_", _HUMPS.sub("_", word).lower()).strip("_")
    severity = str(record.get("MessageSeverity") or record.get("Severity") or "OK")
    origin = record.get("OriginOfCondition")
    path = origin.get("@odata.id") if isinstance(origin, Mapping) else None
    text = str(record.get("Message") or message_id)
    if isinstance(path, str) and path:
        text = f"{text} ({path})"
    code = f"redfish_{code or 'event'}"[:100]
    event = Event(code, _SEVERITY.get(severity, "warning"), text[:2000])
    return Told(path if isinstance(path, str) else "", event)
