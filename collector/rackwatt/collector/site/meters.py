# SPDX-License-Identifier: Apache-2.0
"""Metering points by time: what each role is made of, and on which bus."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final

from rackwatt.collector.site.models import MeterState, Position, Role

ALWAYS: Final = -(2**62)
FOR_EVER: Final = 2**62
CATEGORIES: Final[Mapping[Position, int]] = MappingProxyType(
    {"ups_output": 1, "pdu_output": 2, "it_input": 3}
)
"""Where IT is metered to the PUE category of ISO/IEC 30134-2."""


@dataclass(frozen=True, slots=True)
class Validity:
    """A half-open span of time, ms since 1970 UTC."""

    start_ms: int = ALWAYS
    end_ms: int = FOR_EVER

    def holds(self, time_ms: int) -> bool:
        """Whether `time_ms` lies in the span."""
        return self.start_ms <= time_ms < self.end_ms

    def overlaps(self, other: "Validity") -> bool:
        """Whether the spans share an instant."""
        return self.start_ms < other.end_ms and other.start_ms < self.end_ms


UNLIMITED: Final = Validity()
"""What holds at all times."""


@dataclass(frozen=True, slots=True)
class Meter:
    """One metering point while it keeps its meaning.

    A virtual meter has members and no readings of its own.
    """

    id: str
    role: Role | None = None
    accuracy: float = 1.0
    """Class of the meter in percent, current and voltage transformers apart."""
    transformer_class: float = 0.0
    """Class of its transformers in percent; 0: none, or included."""
    calibration_group: str = ""
    """Meters of one group share a calibration: their errors are correlated."""
    cadence_seconds: float = 1.0
    position: Position | None = None
    sum: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    validity: Validity = UNLIMITED
    bus: str = ""
    """The bus that it sits on; "" on a site with one bus."""
    parent: str = ""
    """The meter that feeds it: gives the shape of a gap in which this one was silent."""
    state: MeterState = "in_service"
    """Only a meter in service enters figures that are signed."""
    calibrated: date | None = None
    """When it was calibrated last, as the site file knows."""
    calibration_due: date | None = None
    """The last day on which that calibration is good."""

    @property
    def virtual(self) -> bool:
        """Whether it is made of other meters."""
        return bool(self.sum or self.minus)


@dataclass(frozen=True, slots=True)
class Term:
    """One physical meter in a role, added (+1) or taken off (-1)."""

    meter_id: str
    sign: int
    bus: str = ""
    """Where its energy enters or leaves; "" on a site with one bus."""


@dataclass(frozen=True, slots=True)
class Tie:
    """A line between two buses, and the power device that measures it.

    The meter's forward direction (`power_watts`, `energy_import_watt_hours`) is from `source` to
    `target`; what flows back is in its export fields.
    """

    id: str
    source: str
    target: str
    meter_id: str
    validity: Validity = UNLIMITED


@dataclass(frozen=True, slots=True)
class Terms:
    """What each role is made of at one time."""

    roles: Mapping[Role, tuple[Term, ...]]
    """Role to physical terms; virtual meters are expanded; a role without meters is absent."""
    pue_category: int | None
    """1 to 3, the weakest of the `it` meters; None when one of them says no position."""
    buses: tuple[str, ...] = ("",)
    """All buses in the file's order; one without a name where the site has one bus."""
    ties: tuple[Tie, ...] = ()
    """The lines between buses that are there at this time."""
    not_in_service: frozenset[str] = frozenset()
    """Physical meters whose readings enter no signed figure at this time."""


class Metering:
    """Meters by time: between two changes of the file everything is computed once.

    Args:
        meters: all meters of all times.
        buses: the site's buses, if it has more than one.
        ties: all lines between them, of all times.
    """

    def __init__(
        self, meters: Sequence[Meter], buses: Sequence[str] = (), ties: Sequence[Tie] = ()
    ) -> None:
        self._all = tuple(meters)
        self._buses = tuple(buses) or ("",)
        self._ties = tuple(ties)
        dated: list[Meter | Tie] = [*meters, *ties]
        edges = {edge for m in dated for edge in (m.validity.start_ms, m.validity.end_ms)}
        self._starts = sorted(edges - {FOR_EVER} | {ALWAYS})
        self._meters: dict[int, Mapping[str, Meter]] = {}
        self._terms: dict[int, Terms] = {}

    @property
    def starts(self) -> tuple[int, ...]:
        """The instants at which something changes, ms; the first is the beginning of time."""
        return tuple(self._starts)

    def meters_at(self, time_ms: int) -> Mapping[str, Meter]:
        """Meters that hold at `time_ms`, by id."""
        start = self._epoch(time_ms)
        found = self._meters.get(start)
        if found is None:
            valid = {m.id: m for m in self._all if m.validity.holds(start)}
            found = self._meters[start] = MappingProxyType(valid)
        return found

    def terms_at(self, time_ms: int) -> Terms:
        """The roles' terms at `time_ms`."""
        start = self._epoch(time_ms)
        found = self._terms.get(start)
        if found is None:
            ties = tuple(tie for tie in self._ties if tie.validity.holds(start))
            found = self._terms[start] = terms_of(self.meters_at(time_ms), self._buses, ties)
        return found

    def _epoch(self, time_ms: int) -> int:
        return self._starts[max(0, bisect_right(self._starts, time_ms) - 1)]


def expand_terms(meters: Mapping[str, Meter], meter_id: str, sign: int = 1) -> list[Term]:
    """The physical terms of a meter, as often as they are reached.

    Members that are not valid now are left out. Cycles must have been refused before.
    """
    meter = meters.get(meter_id)
    if meter is None:
        return []
    if not meter.virtual:
        return [Term(meter_id, sign)]
    added = [t for member in meter.sum for t in expand_terms(meters, member, sign)]
    return added + [t for member in meter.minus for t in expand_terms(meters, member, -sign)]


def net_counts(meters: Mapping[str, Meter], meter_id: str) -> dict[str, int]:
    """How often each physical meter counts in a meter: added less taken off."""
    counts: dict[str, int] = {}
    for term in expand_terms(meters, meter_id):
        counts[term.meter_id] = counts.get(term.meter_id, 0) + term.sign
    return counts


def terms_of(
    meters: Mapping[str, Meter], buses: tuple[str, ...] = ("",), ties: tuple[Tie, ...] = ()
) -> Terms:
    """What each role is made of. A term's bus is the role meter's, else its own.

    A planned meter is no term: nothing flows there yet. Any other that is not in service stays
    one, of which nothing is known.
    """
    roles: dict[Role, list[Term]] = {}
    categories: list[int | None] = []
    waiting = (m.id for m in meters.values() if not m.virtual and m.state != "in_service")
    not_in_service = frozenset(waiting)
    meters = {name: meter for name, meter in meters.items() if meter.state != "planned"}
    for meter in meters.values():
        if meter.role is None:
            continue
        # What is added through one virtual meter and taken off through another cancels here, so
        # that its being unknown does not make the role unknown.
        counts = net_counts(meters, meter.id)
        terms = [
            Term(name, count, meter.bus or meters[name].bus)
            for name, count in counts.items()
            if count
        ]
        roles.setdefault(meter.role, []).extend(terms)
        if meter.role == "it":
            categories.append(None if meter.position is None else CATEGORIES[meter.position])
    known = [category for category in categories if category is not None]
    return Terms(
        roles=MappingProxyType({role: tuple(terms) for role, terms in roles.items()}),
        pue_category=min(known) if known and len(known) == len(categories) else None,
        buses=buses,
        ties=ties,
        not_in_service=not_in_service,
    )
