# SPDX-License-Identifier: Apache-2.0
"""What the rest of the collector sees of a site: where things stand and what meters mean."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from rackwatt.collector.site.factors import Factor, FactorName, FactorValue, Scope
from rackwatt.collector.site.models import Claim, Position, Role, TenantKind

SITE_HALL: Final = "site"
"""The hall of what stands in no hall."""
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


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a device stands.

    A device of a hall has row and rack ""; one of the site itself has the hall "site".
    """

    hall: str
    row: str = ""
    rack: str = ""


@dataclass(frozen=True, slots=True)
class Rack:
    """One rack and what stands in it."""

    id: str
    row: str
    hall: str
    nodes: tuple[str, ...]
    pdus: tuple[str, ...]
    sensors: Mapping[str, str]
    """Position (`inlet`, `outlet`, `inlet_top`, ...) to device."""
    devices: tuple[str, ...] = ()
    validity: Validity = Validity()


@dataclass(frozen=True, slots=True)
class Hall:
    """One hall."""

    id: str
    name: str
    rows: tuple[str, ...]
    devices: tuple[str, ...]


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
    validity: Validity = Validity()

    @property
    def virtual(self) -> bool:
        """Whether it is made of other meters."""
        return bool(self.sum or self.minus)


@dataclass(frozen=True, slots=True)
class Term:
    """One physical meter in a role, added (+1) or taken off (-1)."""

    meter_id: str
    sign: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What each role is made of at one time."""

    roles: Mapping[Role, tuple[Term, ...]]
    """Role to physical terms; virtual meters are expanded; a role without meters is absent."""
    pue_category: int | None
    """1 to 3, the weakest of the `it` meters; None when one of them says no position."""


@dataclass(frozen=True, slots=True)
class Battery:
    """The stationary battery."""

    capacity_wh: float | None
    charge_efficiency: float
    discharge_efficiency: float
    initial_wh: float
    initial_life_cycle: float | None
    """g/kWh of the opening stock; None: the grid's factor."""
    initial_direct: float | None


@dataclass(frozen=True, slots=True)
class Carbon:
    """Factors in g CO2e/kWh, the site's own over the shipped ones."""

    grid_carbon_free: FactorValue | None
    """The carbon-free fraction of the grid, 0..1; its `value` is a ratio."""
    factors: Mapping[FactorName, Factor]

    @property
    def grid_carbon_free_ratio(self) -> float | None:
        """The carbon-free fraction of the grid, 0..1; None when unknown."""
        return None if self.grid_carbon_free is None else self.grid_carbon_free.value

    def factor(self, name: FactorName, scope: Scope) -> float | None:
        """The factor in g/kWh; None when unknown: never the other scope's."""
        value: FactorValue | None = getattr(self.factors[name], scope)
        return None if value is None else value.value


@dataclass(frozen=True, slots=True)
class Supply:
    """Who owns the attributes of one source's output."""

    attributes: str = "retained"


@dataclass(frozen=True, slots=True)
class Contract:
    """A claim on the grid import, and the power device that tells its amount."""

    id: str
    claim: Claim
    meter: str
    validity: Validity = Validity()


@dataclass(frozen=True, slots=True)
class Agent:
    """A field agent."""

    name: str
    hall: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """Machines that a tenant holds for a while."""

    nodes: tuple[str, ...]
    racks: tuple[str, ...]
    validity: Validity = Validity()


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who uses the machines."""

    id: str
    name: str
    kind: TenantKind
    country: str | None
    assignments: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True)
class Places:
    """Device to placement; what never moves has the fast way."""

    fixed: Mapping[str, Placement] = field(default_factory=dict)
    dated: Mapping[str, tuple[tuple[Validity, Placement], ...]] = field(default_factory=dict)

    def find(self, device: str, time_ms: int) -> Placement | None:
        """Where exactly this device stood."""
        place = self.fixed.get(device)
        if place is None and device in self.dated:
            for validity, candidate in self.dated[device]:
                if validity.holds(time_ms):
                    return candidate
        return place


class Metering:
    """Meters by time: between two changes of the file everything is computed once.

    Args:
        meters: all meters of all times.
    """

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._all = tuple(meters)
        edges = {edge for m in meters for edge in (m.validity.start_ms, m.validity.end_ms)}
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
            found = self._terms[start] = terms_of(self.meters_at(time_ms))
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


def terms_of(meters: Mapping[str, Meter]) -> Terms:
    """What each role is made of."""
    roles: dict[Role, list[Term]] = {}
    categories: list[int | None] = []
    for meter in meters.values():
        if meter.role is None:
            continue
        # What is added through one virtual meter and taken off through another cancels here, so
        # that its being unknown does not make the role unknown.
        counts = net_counts(meters, meter.id)
        terms = [Term(name, count) for name, count in counts.items() if count]
        roles.setdefault(meter.role, []).extend(terms)
        if meter.role == "it":
            categories.append(None if meter.position is None else CATEGORIES[meter.position])
    known = [category for category in categories if category is not None]
    return Terms(
        roles=MappingProxyType({role: tuple(terms) for role, terms in roles.items()}),
        pue_category=min(known) if known and len(known) == len(categories) else None,
    )


@dataclass(frozen=True, slots=True)
class Site:
    """A site as its file says it is."""

    id: str
    name: str
    timezone: ZoneInfo
    country: str | None
    latitude: float | None
    longitude: float | None
    simulated: bool
    battery: Battery | None
    carbon: Carbon
    supply: Mapping[str, Supply]
    contracts: tuple[Contract, ...]
    halls: tuple[Hall, ...]
    racks: tuple[Rack, ...]
    """Racks of all times; see each one's `validity`."""
    agents: tuple[Agent, ...]
    tenants: tuple[Tenant, ...]
    places: Places
    metering: Metering
    agent_halls: Mapping[str, str]
    node_racks: Mapping[str, Rack]
    """Node to its (latest) rack."""
    defaults: tuple[str, ...]
    """Sentences: which defaults stand in for what the file does not say."""

    @property
    def halls_ids(self) -> tuple[str, ...]:
        """The halls that a topic may name: the file's, and `site`."""
        return (SITE_HALL, *(hall.id for hall in self.halls))

    def place(self, device: str, time_ms: int) -> Placement | None:
        """Where `device` stood at `time_ms`; None when the file does not know it.

        A GPU (`node/uuid`) stands where its node stands.
        """
        place = self.places.find(device, time_ms)
        if place is None and "/" in device:
            place = self.places.find(device.partition("/")[0], time_ms)
        return place

    def hall_of_agent(self, agent: str) -> str | None:
        """The hall for which `agent` may speak; a GPU node's agent is named after its node."""
        hall = self.agent_halls.get(agent)
        if hall is None and agent in self.node_racks:
            hall = self.node_racks[agent].hall
        return hall

    def meters_at(self, time_ms: int) -> Mapping[str, Meter]:
        """Meters that hold at `time_ms`, virtual ones and the rows' PDUs included, by id."""
        return self.metering.meters_at(time_ms)

    def terms_at(self, time_ms: int) -> Terms:
        """What each role is made of at `time_ms`, as physical meters with signs."""
        return self.metering.terms_at(time_ms)

    def racks_at(self, time_ms: int) -> tuple[Rack, ...]:
        """Racks that stand at `time_ms`."""
        return tuple(rack for rack in self.racks if rack.validity.holds(time_ms))

    def local(self, time_ms: int) -> datetime:
        """`time_ms` on the site's clocks."""
        return datetime.fromtimestamp(time_ms / 1000, self.timezone)
