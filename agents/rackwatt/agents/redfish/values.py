# SPDX-License-Identifier: Apache-2.0
"""From resources to values: pure, no I/O. Unknown is never 0."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from rackwatt.agents.judge import judge
from rackwatt.agents.redfish.schema import Read
from rackwatt.agents.units import UNITS
from rackwatt.wire.readings import FieldSpec, Quality

Resource = Mapping[str, Any]
Found = Resource | Quality
"""A resource, or why there is none."""

State = Literal["ok", "warning", "critical", "absent", "unknown"]

HEALTH: Final = "Status/Health"
_AT_WORK: Final = frozenset({"Enabled", "StandbySpare", "InTest", "Degraded", "Qualified"})
_ABSENT: Final = frozenset({"Absent", "Disabled"})


def pick(value: object, pointer: str) -> list[object]:
    """What stands at a pointer, one for each element that its selectors pick.

    A key that is not there gives None.
    """
    found: list[object] = [value]
    for step in pointer.split("/"):
        found = [item for each in found for item in _step(each, step)]
    return found


def _step(value: object, step: str) -> Iterator[object]:
    if not step.startswith("["):
        yield value.get(step) if isinstance(value, Mapping) else None
        return
    items = value if isinstance(value, list) else []
    word = step[1:-1]
    if word == "*":
        yield from items
    elif word.isdigit():
        yield items[int(word)] if int(word) < len(items) else None
    else:
        key, _, wanted = word.partition("=")
        yield from (
            item for item in items if isinstance(item, Mapping) and str(item.get(key)) == wanted
        )


def working(resource: Resource) -> Quality | None:
    """None where the resource's own state lets its values count, else why they do not.

    Services go on showing the last reading of what has been pulled out or switched off.
    """
    status = resource.get("Status")
    state = status.get("State") if isinstance(status, Mapping) else None
    if state is None or state in _AT_WORK:
        return None
    return Quality.NOT_SUPPORTED if state in _ABSENT else Quality.EXCEPTION


def _is_empty(resource: Resource) -> bool:
    """Whether it is a slot with nothing in it: it has no share in what the others give."""
    return pick(resource, "Status/State") == ["Absent"]


def state_of(resource: Found, pointer: str) -> State:
    """The state of something that is watched."""
    if isinstance(resource, Quality):
        return "absent" if resource is Quality.NOT_SUPPORTED else "unknown"
    status = resource.get("Status")
    state = status.get("State") if isinstance(status, Mapping) else None
    if state in _ABSENT:
        return "absent"
    if state is not None and state not in _AT_WORK:
        return "critical"  # UnavailableOffline, Deferring, Starting: it does not do its work
    words = {str(item) for item in pick(resource, pointer)}
    if "Critical" in words:
        return "critical"
    if "Warning" in words:
        return "warning"
    # Many services give no health of what is well; a detector without a state tells nothing.
    well = {"OK", "None"} if pointer == HEALTH else {"OK"}
    return "ok" if words <= well else "unknown"


def value_of(spec: FieldSpec, read: Read, resources: Sequence[Found]) -> float | Quality:
    """One value of all resources that a way led to, in our unit, judged by the field's bounds."""
    numbers: list[float] = []
    failed: list[Quality] = []
    for resource in resources:
        for got in _numbers(read, resource):
            if isinstance(got, Quality):
                failed.append(got)
            else:
                numbers.append(got)
    return _folded(spec, read, numbers, failed)


def raw_of(read: Read, resources: Iterable[Found]) -> str:
    """What the service gave, for a person."""
    shown = [
        str(item)
        for resource in resources
        if not isinstance(resource, Quality)
        for item in pick(resource, read.value)
    ]
    if len(shown) > 6:
        shown = [*shown[:6], f"… ({len(shown)})"]
    return ", ".join(shown) or "-"


def _numbers(read: Read, resource: Found) -> Iterator[float | Quality]:
    counting = read.fold == "count"
    if isinstance(resource, Quality):
        # What is gone does not run: that is known. What did not answer may run.
        yield 0.0 if counting and resource is Quality.NOT_SUPPORTED else resource
        return
    idle = working(resource)
    if idle is not None:
        if counting:
            yield 0.0
        elif read.fold == "only" or not _is_empty(resource):
            yield idle
        return
    head, bracket, tail = read.value.rpartition("]/")
    if bracket:  # each of a list has a state of its own
        inner = read.model_copy(update={"value": tail})
        for element in pick(resource, f"{head}]"):
            found = element if isinstance(element, Mapping) else Quality.NOT_SUPPORTED
            yield from _numbers(inner, found)
        return
    for item in pick(resource, read.value):
        yield _number(read, item)


def _number(read: Read, item: object) -> float | Quality:
    if item is None:
        return Quality.NOT_SUPPORTED
    if read.words:
        word = read.words.get(str(item))
        return Quality.OUT_OF_RANGE if word is None else word
    if isinstance(item, bool) or not isinstance(item, int | float | str):
        return Quality.OUT_OF_RANGE
    try:
        number = float(item)  # some services write numbers as text
    except (ValueError, OverflowError):
        return Quality.OUT_OF_RANGE
    unit = UNITS[read.unit]
    return number * read.scale * unit.factor + unit.offset


def _folded(
    spec: FieldSpec, read: Read, numbers: Sequence[float], failed: Sequence[Quality]
) -> float | Quality:
    judged = [judge(spec, number) for number in numbers]
    good = [item for item in judged if not isinstance(item, Quality)]
    bad = [*failed, *(item for item in judged if isinstance(item, Quality))]
    if read.fold == "max" and good and max(good) >= spec.high:
        return max(good)  # one wet detector is a leak, whatever the others say
    if bad:
        return _worst(bad)
    if not good:
        return Quality.NOT_SUPPORTED
    match read.fold:
        case "only":
            return good[0] if len(good) == 1 else Quality.EXCEPTION
        case "max":
            value = max(good)
        case "min":
            value = min(good)
        case "mean":
            value = math.fsum(good) / len(good)
        case "sum":
            value = math.fsum(good)
        case "count":
            value = float(sum(item > 0 for item in good))
    return judge(spec, value)


def _worst(reasons: Sequence[Quality]) -> Quality:
    """The reason that says most: a time-out before what a device does not have."""
    order = (Quality.TIMEOUT, Quality.EXCEPTION, Quality.OUT_OF_RANGE)
    return next((reason for reason in order if reason in reasons), reasons[0])
