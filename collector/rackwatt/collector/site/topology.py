# SPDX-License-Identifier: Apache-2.0
"""What the rest of the collector sees of a site: where things stand and what meters mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from rackwatt.collector.accounting.capacity.chain import Chain
from rackwatt.collector.accounting.capacity.ride_through import HeatMass
from rackwatt.collector.accounting.commitments import Commitment, Phase
from rackwatt.collector.accounting.factor_series import FactorLine
from rackwatt.collector.accounting.fuels import FuelLine
from rackwatt.collector.accounting.modelled import LossModel
from rackwatt.collector.accounting.thermal import A1, AirClass
from rackwatt.collector.site.factors import Factor, FactorName, FactorValue, Scope
from rackwatt.collector.site.meters import (
    ALWAYS,
    CATEGORIES,
    FOR_EVER,
    UNLIMITED,
    Meter,
    Metering,
    Term,
    Terms,
    Tie,
    Validity,
    expand_terms,
    net_counts,
    terms_of,
)
from rackwatt.collector.site.models import Claim, ContractKind, TenantKind

__all__ = [
    "ALWAYS",
    "CATEGORIES",
    "FOR_EVER",
    "SITE_HALL",
    "UNLIMITED",
    "Agent",
    "Assignment",
    "Battery",
    "Carbon",
    "CertificateLine",
    "Contract",
    "Hall",
    "Meter",
    "Metering",
    "Placement",
    "Places",
    "Rack",
    "Settlement",
    "Site",
    "SiteChains",
    "Supply",
    "Tenant",
    "Term",
    "Terms",
    "ThermalMass",
    "Tie",
    "Utility",
    "Validity",
    "expand_terms",
    "net_counts",
    "terms_of",
]

SITE_HALL: Final = "site"
"""The hall of what stands in no hall."""


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
    validity: Validity = UNLIMITED
    feed: str = ""
    """The meter of the busway that feeds its row (`pdu_parent`)."""


@dataclass(frozen=True, slots=True)
class Hall:
    """One hall."""

    id: str
    name: str
    rows: tuple[str, ...]
    devices: tuple[str, ...]
    bus: str = ""
    """The bus that feeds it; "" on a site with one bus."""


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
    validity: Validity = UNLIMITED
    kind: ContractKind = "ppa"


@dataclass(frozen=True, slots=True)
class Settlement:
    """How the utility measures demand."""

    window_seconds: float
    subscribed_watts: float | None
    """None: not stated, so there is a projection and no limit."""


@dataclass(frozen=True, slots=True)
class CertificateLine:
    """One certificate, or a run of them under one serial.

    Attributes:
        registry: Who keeps it.
        serial: Its number there.
        source: ``pv``, ``wind`` or ``hydro``.
        start_ms: Begin of the production that it stands for.
        end_ms: Its end.
        watt_hours: How much.
        retired_ms: When it was retired; ``None``: it was not.
        beneficiary: For whom.
        contract: The contract that it came with, if any.
    """

    registry: str
    serial: str
    source: str
    start_ms: int
    end_ms: int
    watt_hours: float
    retired_ms: int | None = None
    beneficiary: str = ""
    contract: str = ""


@dataclass(frozen=True, slots=True)
class Utility:
    """A meter of water, or of heat that is used outside the data center."""

    id: str
    kind: Literal["water", "coolant"]
    """As the device reports on the wire."""
    source: str = ""
    """`fresh`, `reclaimed` or `rain`; `discharge`: given back; "" of heat."""
    use: str = ""
    """`cooling`, `humidification` or `other`; "" of heat and of what is given back."""
    cadence_seconds: float = 0.0
    """0: not stated."""
    validity: Validity = UNLIMITED


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
    validity: Validity = UNLIMITED
    gpus: tuple[str, ...] = ()
    """Device names, `NODE/UUID`."""


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


@dataclass(frozen=True, slots=True)
class ThermalMass:
    """What warms up in a rack, and where its machines shut down."""

    masses: tuple[HeatMass, ...]
    limit_celsius: float


@dataclass(frozen=True, slots=True)
class SiteChains:
    """What feeds what; empty where the site file does not say."""

    power: Chain = field(default_factory=Chain)
    cooling: Chain = field(default_factory=Chain)
    needed: Mapping[str, int] = field(default_factory=dict)
    """How many assets of a redundancy group are needed, by group."""
    masses: Mapping[str, ThermalMass] = field(default_factory=dict)
    """By rack."""


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
    residual_limit_ratio: float = 0.002
    """Part of a month's sources that its summed residual may reach before it is flagged."""
    modelled_losses: tuple[LossModel, ...] = ()
    """Of transformers and lines whose losses are in the residual."""
    settlement: Settlement | None = None
    export_cap_ratio: float | None = None
    """Legal cap of what may be sold of the own production, over the running year."""
    factor_series: tuple[FactorLine, ...] = ()
    """Factors that hold for a span of time: before all others."""
    certificates: tuple[CertificateLine, ...] = ()
    """Certificates that the site has bought, whether retired or not."""
    utilities: tuple[Utility, ...] = ()
    """Meters of water and of reused heat."""
    fuel: tuple[FuelLine, ...] = ()
    """What gensets burnt, as documents say."""
    fuel_factors: Mapping[str, float] = field(default_factory=dict)
    """g CO2e per litre, by fuel; there are no defaults."""
    chains: SiteChains = field(default_factory=SiteChains)
    """What feeds what."""
    phases: tuple[Phase, ...] = ()
    commitments: tuple[Commitment, ...] = ()
    """What was promised in public."""
    air: AirClass = A1
    """Of the equipment: what air its inlets may take in."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 by name: of the site file, its moves, and the CSV files that it names."""

    @property
    def outdoors(self) -> frozenset[str]:
        """What stands in no hall; its climate is the weather."""
        fixed = self.places.fixed.items()
        return frozenset(device for device, place in fixed if place.hall == SITE_HALL)

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

    def is_node(self, name: str) -> bool:
        """Whether a GPU node of this name stands, stood or will stand in a rack."""
        return name in self.node_racks

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
