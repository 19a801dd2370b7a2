# SPDX-License-Identifier: Apache-2.0
"""What the Alertmanagers must hear, and the small file that keeps it over a restart."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from rackwatt.agents.safety.engine import ALARMS, Alarm, Change, Key

VERSION: Final = 1
_ENDED_SECONDS: Final = 86_400.0


@dataclass(slots=True)
class Ended:
    """An alarm that is over, and who has not heard it yet."""

    alarm: Alarm
    time_ms: int
    waiting: set[str] = field(default_factory=set)
    """Addresses of Alertmanagers."""


class _Kept(BaseModel):
    """An entry of `ended` in the file."""

    model_config = ConfigDict(extra="forbid")

    alarm: Alarm
    time_ms: int
    waiting: list[str]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int
    active: list[Alarm]
    ended: list[_Kept]
    last_order: dict[str, str] = {}


_READER: Final = TypeAdapter(_File)


class StateError(Exception):
    """The state file cannot be used; the text says why."""


class Book:
    """Alarms that are on, and those whose end someone must still hear.

    Args:
        names: addresses of all Alertmanagers.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self.active: dict[Key, Alarm] = {}
        self.ended: dict[Key, Ended] = {}
        self.last_order: dict[str, str] = {}
        """The last order of an operator, and what became of it."""

    def apply(self, changes: Iterable[Change], active: Iterable[Alarm]) -> None:
        """Take over what the engine says."""
        for change in changes:
            if change.what == "raised":
                self.ended.pop(change.alarm.key, None)
            else:
                ended = Ended(change.alarm, change.time_ms, set(self._names))
                self.ended[change.alarm.key] = ended
        self.active = {alarm.key: alarm for alarm in active}

    def heard(self, name: str, ended: Iterable[Ended], now_ms: int) -> bool:
        """An Alertmanager has heard of these ends; whether that changed anything."""
        changed = False
        for item in ended:
            changed = changed or name in item.waiting
            item.waiting.discard(name)
        for key, item in list(self.ended.items()):
            if not item.waiting or now_ms - item.time_ms > _ENDED_SECONDS * 1000:
                del self.ended[key]
                changed = True
        return changed

    def text(self) -> str:
        """The file's content."""
        return json.dumps(
            {
                "version": VERSION,
                "active": [asdict(alarm) for alarm in self.active.values()],
                "ended": [
                    {
                        "alarm": asdict(item.alarm),
                        "time_ms": item.time_ms,
                        "waiting": sorted(item.waiting),
                    }
                    for item in self.ended.values()
                ],
                "last_order": self.last_order,
            },
            indent=1,
        )

    def load(self, text: str) -> None:
        """Take up what `text` left.

        Raises:
            StateError: the text is of another version, or damaged.
        """
        try:
            found = _READER.validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            raise StateError(f"it is damaged: {first['loc']}: {first['msg']}") from error
        if found.version != VERSION:
            raise StateError(f"it is of version {found.version}, this is {VERSION}")
        alarms = [*found.active, *(item.alarm for item in found.ended)]
        if strange := {alarm.rule for alarm in alarms} - set(ALARMS):
            raise StateError(f"it holds an unknown rule: {', '.join(sorted(strange))}")
        self.active = {alarm.key: alarm for alarm in found.active}
        self.last_order = found.last_order
        for item in found.ended:
            waiting = set(item.waiting) & set(self._names)
            if waiting:
                self.ended[item.alarm.key] = Ended(item.alarm, item.time_ms, waiting)


def write_atomically(file: Path, text: str) -> None:
    """Replace a file as a whole, and have it on the disk when this returns.

    Raises:
        OSError: it cannot be written.
    """
    partial = file.with_name(file.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def order_file(state: Path) -> Path:
    """Where an operator's order to the running agent lies."""
    return state.with_name(state.name + ".order")


def read_order(state: Path) -> Mapping[str, Any] | None:
    """The order that waits, taken away; None: there is none.

    Raises:
        OSError: it cannot be read.
    """
    file = order_file(state)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    file.unlink()
    try:
        order = json.loads(text)
    except ValueError:
        return None
    return order if isinstance(order, Mapping) else None
