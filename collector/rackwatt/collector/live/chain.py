# SPDX-License-Identifier: Apache-2.0
"""The chains of now: what each edge carries, what is left, what would fail, how long racks last."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from rackwatt.collector.accounting.capacity.chain import Asset, Chain
from rackwatt.collector.accounting.capacity.failover import Failover, failover
from rackwatt.collector.accounting.capacity.loads import (
    EdgeState,
    Load,
    loads,
    modelled_losses,
    states,
)
from rackwatt.collector.accounting.capacity.redundancy import Redundancy
from rackwatt.collector.accounting.capacity.ride_through import ride_through
from rackwatt.collector.accounting.capacity.room import Room, room
from rackwatt.collector.site import Rack, Site
from rackwatt.wire.readings import Kind

_CURRENTS: Final = ("current_l1_amperes", "current_l2_amperes", "current_l3_amperes")


class Readings(Protocol):
    """The newest readings of devices."""

    def value(self, kind: Kind, device: str, field: str, now_ms: int) -> float | None:
        """A value that is fresh enough, else None."""


@dataclass(frozen=True, slots=True)
class ChainState:
    """Both chains at an instant.

    Attributes:
        edges: The power chain's edges, by id.
        failovers: What each of them would carry were the other side gone.
        room: What more may be sold; None on a site without a power chain.
        groups: Redundancy groups of both chains.
        pumps: Pumps of a cooling asset that has several, by asset.
        ride_through: Seconds without cooling until a rack's machines shut down, by rack; None:
            its power or temperature is unknown.
        losses_watts: Modelled losses of transformers and lines; None: a load is unknown.
        maintenance: Assets that are out for maintenance.
    """

    edges: Mapping[str, EdgeState] = field(default_factory=dict)
    failovers: Mapping[str, Failover] = field(default_factory=dict)
    room: Room | None = None
    groups: Mapping[str, Redundancy] = field(default_factory=dict)
    pumps: Mapping[str, Redundancy] = field(default_factory=dict)
    ride_through: Mapping[str, float | None] = field(default_factory=dict)
    losses_watts: float | None = None
    maintenance: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Seen:
    """What devices say of the chains.

    Attributes:
        measured: Load by meter.
        there: Whether a member of a redundancy group could do its work; None: its device is
            silent.
        running: Pumps that run, by cooling asset.
        ride_through: Seconds, by rack.
    """

    measured: Mapping[str, Load]
    there: Mapping[str, bool | None]
    running: Mapping[str, float | None]
    ride_through: Mapping[str, float | None]


class LiveChains:
    """Looks at a site's chains through the newest readings.

    Args:
        site: the site.
        readings: what its devices said last.
    """

    def __init__(self, site: Site, readings: Readings) -> None:
        self._site = site
        self._readings = readings

    def state(self, now_ms: int, maintenance: Collection[str] = ()) -> ChainState:
        """The chains at `now_ms`: `read` and `judge` in one.

        Args:
            now_ms: The instant.
            maintenance: Assets that are out of service on purpose.
        """
        return self.judge(self.read(now_ms), maintenance)

    def read(self, now_ms: int) -> Seen:
        """What devices say of the chains; quick, so that others wait for it a short time."""
        power, cooling = self._site.chains.power, self._site.chains.cooling
        return Seen(
            measured=dict(self._measured(power, now_ms)),
            there={
                asset.id: self._there(asset, now_ms)
                for chain in (power, cooling)
                for asset in chain.assets.values()
                if asset.group
            },
            running={
                asset.id: self._readings.value("coolant", asset.id, "pumps_running_number", now_ms)
                for asset in cooling.assets.values()
                if asset.pumps
            },
            ride_through=self._ride_through(now_ms),
        )

    def judge(self, seen: Seen, maintenance: Collection[str] = ()) -> ChainState:
        """What follows from it; takes a second for thousands of edges.

        Args:
            seen: What was read.
            maintenance: Assets that are out of service on purpose.
        """
        chains = self._site.chains
        out = frozenset(maintenance)
        groups = dict(self._groups((chains.power, chains.cooling), seen, out))
        pumps = {
            asset.id: _pumps(asset, seen.running[asset.id], asset.id in out)
            for asset in chains.cooling.assets.values()
            if asset.pumps
        }
        if not chains.power:
            return ChainState(
                groups=groups, pumps=pumps, ride_through=seen.ride_through, maintenance=out
            )
        carried = loads(chains.power, seen.measured)
        now = states(chains.power, carried)
        after = failover(chains.power, carried)
        return ChainState(
            edges=now,
            failovers=after,
            room=room(chains.power, now, after),
            groups=groups,
            pumps=pumps,
            ride_through=seen.ride_through,
            losses_watts=modelled_losses(chains.power, carried),
            maintenance=out,
        )

    def _measured(self, chain: Chain, now_ms: int) -> Iterable[tuple[str, Load]]:
        for edge in chain.edges:
            if edge.meter:
                yield edge.meter, self._load(edge.meter, edge.phases, now_ms)

    def _load(self, meter: str, phases: int, now_ms: int) -> Load:
        def value(name: str) -> float | None:
            return self._readings.value("power", meter, name, now_ms)

        currents = tuple(value(name) for name in _CURRENTS[:phases])
        if phases == 1 and currents[0] is None:
            currents = (value("current_amperes"),)
        return Load(value("power_watts"), currents)

    def _groups(
        self, chains: Iterable[Chain], seen: Seen, out: frozenset[str]
    ) -> Iterable[tuple[str, Redundancy]]:
        for chain in chains:
            members: dict[str, list[Asset]] = {}
            for asset in chain.assets.values():
                if asset.group:
                    members.setdefault(asset.group, []).append(asset)
            gone = out | chain.lost_with(*out) if out else out
            for name, assets in members.items():
                needed = self._site.chains.needed.get(name, len(assets))
                there = [False if a.id in gone else seen.there[a.id] for a in assets]
                yield name, Redundancy(needed, len(assets), _count(there))

    def _there(self, asset: Asset, now_ms: int) -> bool | None:
        """Whether an asset could do its work; one that no device speaks for does."""
        if self._site.places.find(asset.id, now_ms) is None:
            return True
        flow = self._readings.value("coolant", asset.id, "flow_liters_per_second", now_ms)
        power = self._readings.value("power", asset.id, "power_watts", now_ms)
        return None if flow is None and power is None else True

    def _ride_through(self, now_ms: int) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        racks = {rack.id: rack for rack in self._site.racks_at(now_ms)}
        for name, mass in self._site.chains.masses.items():
            rack = racks.get(name)
            if rack is None:
                continue
            watts = self._rack_watts(rack, now_ms)
            celsius = self._coolant_celsius(name, now_ms)
            known = watts is not None and celsius is not None
            found[name] = (
                ride_through(mass.masses, mass.limit_celsius, celsius or 0.0, watts or 0.0)
                if known
                else None
            )
        return found

    def _rack_watts(self, rack: Rack, now_ms: int) -> float | None:
        powers = [self._readings.value("power", pdu, "power_watts", now_ms) for pdu in rack.pdus]
        known = [power for power in powers if power is not None]
        return sum(known) if known and len(known) == len(powers) else None

    def _coolant_celsius(self, rack: str, now_ms: int) -> float | None:
        """The warmest coolant that comes back from it: what its CDUs return."""
        cooling = self._site.chains.cooling
        if rack not in cooling.assets:
            return None
        found = [
            self._readings.value("coolant", edge.source, "return_temperature_celsius", now_ms)
            for edge in cooling.into(rack)
        ]
        known = [celsius for celsius in found if celsius is not None]
        return max(known) if known and len(known) == len(found) else None


def _count(there: Sequence[bool | None]) -> int | None:
    return None if None in there else sum(bool(one) for one in there)


def _pumps(asset: Asset, running: float | None, out: bool) -> Redundancy:
    count = None if running is None else round(running)
    return Redundancy(asset.pumps_needed, asset.pumps, 0 if out else count)
