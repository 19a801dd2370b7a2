# SPDX-License-Identifier: Apache-2.0
"""What a driver hands to the agent's loop: the values of one device at one instant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rackwatt.wire.readings import Kind, Quality

Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at an instant, unlike a value that holds for a while."""

    code: str
    """Short, stable, machine-readable: `xid_79`, `register_reset`."""
    severity: Severity
    text: str
    """One sentence for a person."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One device read once.

    A value that could not be read is None and has its reason in `quality`: it is sent all the
    same, so that "not read" and "not there" stay apart.
    """

    kind: Kind
    device: str
    values: Mapping[str, float | None] = field(default_factory=dict)
    quality: Mapping[str, Quality] = field(default_factory=dict)
    event: Event | None = None
    time_ms: int | None = None
    """Milliseconds since 1970 UTC; None means "when the round was taken"."""
