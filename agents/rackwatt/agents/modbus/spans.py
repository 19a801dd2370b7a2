# SPDX-License-Identifier: Apache-2.0
"""Spans: few requests for many registers."""

from collections.abc import Iterable
from dataclasses import dataclass

from rackwatt.agents.modbus.points import Point
from rackwatt.agents.modbus.schema import Function

Part = tuple[int, int]
"""(address, count) of registers that are needed together."""


@dataclass(frozen=True, slots=True)
class Span:
    """One request: consecutive registers that cover some parts, with what lies between."""

    function: Function
    parts: tuple[Part, ...]
    """Sorted by address."""

    @property
    def start(self) -> int:
        """The first register."""
        return self.parts[0][0]

    @property
    def count(self) -> int:
        """How many registers."""
        return max(start + count for start, count in self.parts) - self.start

    def split(self) -> tuple["Span", ...]:
        """Smaller requests for the same parts, after the device refused this one.

        First without the registers between the parts, then each part for itself; a single part
        stays as it is.
        """
        whole: list[list[Part]] = []
        end = -1
        for part in self.parts:
            if part[0] <= end:
                whole[-1].append(part)
            else:
                whole.append([part])
            end = max(end, part[0] + part[1])
        groups = whole if len(whole) > 1 else [[part] for part in self.parts]
        return tuple(Span(self.function, tuple(group)) for group in groups)


def plan(points: Iterable[Point], gap: int, limit: int) -> tuple[Span, ...]:
    """The requests that read all points.

    Args:
        points: what is wanted.
        gap: registers between two parts that are read along rather than starting a new request.
        limit: registers in one request at most.
    """
    wanted = sorted({(point.function, *part) for point in points for part in point.parts})
    spans: list[Span] = []
    for function, start, count in wanted:
        last = spans[-1] if spans else None
        if (
            last is not None
            and last.function == function
            and start - (last.start + last.count) <= gap
            and start + count - last.start <= limit
        ):
            spans[-1] = Span(function, (*last.parts, (start, count)))
        else:
            spans.append(Span(function, ((start, count),)))
    return tuple(spans)
