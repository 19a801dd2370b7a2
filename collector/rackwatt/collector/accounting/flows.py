# SPDX-License-Identifier: Apache-2.0
"""Metered energies of one interval: on a bus, and over the ties between buses."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rackwatt.collector.accounting.vocabulary import total

ONE_BUS = ""
"""The name of the bus of a site that has one."""


_NONE: Final[Mapping[str, float | None]] = {}


class Flows(NamedTuple):
    """Metered energies of one interval, Wh. ``None`` = unknown; a missing key = no such flow.

    Attributes:
        sources: ``pv``, ``wind``, ``hydro``, ``grid`` (import), ``genset``.
        sinks: ``it``, ``cooling``, ``losses``, ``other``, ``campus``, ``export``. One that is the
            difference of meters may be slightly negative: what one side lacks the other has.
        charge: Into the battery, at its terminals.
        discharge: Out of it, at its terminals.
    """

    sources: Mapping[str, float | None] = _NONE
    sinks: Mapping[str, float | None] = _NONE
    charge: float | None = 0.0
    discharge: float | None = 0.0

    @property
    def completeness(self) -> float:
        """The part of these flows that is known, 0..1."""
        values = [*self.sources.values(), *self.sinks.values(), self.charge, self.discharge]
        return (len(values) - values.count(None)) / len(values)


class TieFlow(NamedTuple):
    """What one direction of a line between two buses carried: what leaves one arrives at the other.

    Attributes:
        source: The bus that it leaves.
        target: The bus that it enters.
        watt_hours: Wh; below 0 it flowed the other way; ``None`` = unknown.
    """

    source: str
    target: str
    watt_hours: float | None


def of_site(nodes: Sequence[Flows]) -> Flows:
    """Return the flows of all buses as one: what the site took in and gave out.

    A flow is unknown where one bus does not know its own.
    """
    if len(nodes) == 1:
        return nodes[0]
    sources = {name for node in nodes for name in node.sources}
    sinks = {name for node in nodes for name in node.sinks}
    return Flows(
        {n: total(node.sources[n] for node in nodes if n in node.sources) for n in sorted(sources)},
        {n: total(node.sinks[n] for node in nodes if n in node.sinks) for n in sorted(sinks)},
        total(node.charge for node in nodes),
        total(node.discharge for node in nodes),
    )
