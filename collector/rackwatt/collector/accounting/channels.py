# SPDX-License-Identifier: Apache-2.0
"""Which fields of which meters feed which flow.

| role    | flow            | power field           | register field               |
|---------|-----------------|-----------------------|------------------------------|
| pv, wind, hydro, genset | source | power_watts | energy_import_watt_hours     |
| grid    | source grid     | power_watts           | energy_import_watt_hours     |
| grid    | sink export     | power_export_watts    | energy_export_watt_hours     |
| battery | charge          | power_charge_watts    | energy_charge_watt_hours     |
| battery | discharge       | power_discharge_watts | energy_discharge_watt_hours  |
| loads   | sink            | power_watts           | energy_import_watt_hours     |
| loads, at a UPS's output | sink | power_output_watts | energy_output_watt_hours |

| a tie's meter | source to target | power_watts      | energy_import_watt_hours     |
| a tie's meter | back             | power_export_watts | energy_export_watt_hours   |
| a water meter | water in         | flow_liters_per_second | volume_liters          |
| a heat meter  | heat used outside | heat_watts          | heat_energy_watt_hours    |

A grid meter need not measure export, nor a tie's what flows back: a meter that never names the
fields has no such term.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from rackwatt.collector.accounting.flows import Flows, TieFlow
from rackwatt.collector.accounting.vocabulary import GENERATION, total


@dataclass(frozen=True, slots=True)
class Channel:
    """One direction of a meter: its power field and its register field.

    Attributes:
        power: What flows now.
        energy: What has flowed.
        per_hour: What the register gains in an hour at a flow of 1: litres at 1 L/s.
    """

    power: str
    energy: str
    per_hour: float = 1.0


FORWARD: Final = Channel("power_watts", "energy_import_watt_hours")
REVERSE: Final = Channel("power_export_watts", "energy_export_watt_hours")
CHARGE: Final = Channel("power_charge_watts", "energy_charge_watt_hours")
DISCHARGE: Final = Channel("power_discharge_watts", "energy_discharge_watt_hours")
OUTPUT: Final = Channel("power_output_watts", "energy_output_watt_hours")
CHANNELS: Final = (FORWARD, REVERSE, CHARGE, DISCHARGE, OUTPUT)
WATER: Final = Channel("flow_liters_per_second", "volume_liters", 3600.0)
HEAT: Final = Channel("heat_watts", "heat_energy_watt_hours")
UTILITIES: Final = (WATER, HEAT)

TIE: Final = "tie"
"""The flow of what a line between two buses carries."""

_SOURCES: Final = frozenset({*GENERATION, "grid"})

ON_BATTERY: Final = "on_battery_ratio"
STATE_OF_CHARGE: Final = "state_of_charge_ratio"

POWER_FIELDS: Final = frozenset(
    {name for channel in CHANNELS for name in (channel.power, channel.energy)}
    | {ON_BATTERY, STATE_OF_CHARGE}
)
"""Fields of power readings that the books use."""

BOOKED_FIELDS: Final = POWER_FIELDS | {
    name for channel in UTILITIES for name in (channel.power, channel.energy)
}
"""Fields of all readings that the books use."""


class TermLike(Protocol):
    """One physical meter of a role, with the sign it counts with."""

    @property
    def meter_id(self) -> str:
        """The device's name on the wire."""

    @property
    def sign(self) -> int:
        """+1 or -1."""

    @property
    def bus(self) -> str:
        """Where its energy enters or leaves; empty on a site with one bus."""


class TieLike(Protocol):
    """A line between two buses; its meter counts forward from source to target."""

    @property
    def source(self) -> str:
        """A bus."""

    @property
    def target(self) -> str:
        """Another one."""

    @property
    def meter_id(self) -> str:
        """The device's name on the wire."""


class TermsLike(Protocol):
    """The physical meters of each role at one time; virtual meters are already expanded."""

    @property
    def roles(self) -> Mapping[Any, Sequence[TermLike]]:  # a mapping's key type is invariant
        """By role."""

    @property
    def pue_category(self) -> int | None:
        """1, 2 or 3, or ``None`` if it is not stated."""

    @property
    def buses(self) -> Sequence[str]:
        """All buses; one without a name where the site has one."""

    @property
    def ties(self) -> Sequence[TieLike]:
        """The lines between them."""

    @property
    def not_in_service(self) -> Collection[str]:
        """Meters that are there, and whose readings enter no signed figure."""


@dataclass(frozen=True, slots=True)
class Tap:
    """One physical term of one flow.

    Attributes:
        flow: ``pv``, ``it``, ``charge``, ``discharge``, ``export``, ``tie``, ...
        device: The meter.
        channel: Its direction.
        sign: +1 or -1.
        optional: Not a term at all where the meter does not know the fields.
        bus: Where it enters or leaves.
        toward: The bus that a tie leads to.
    """

    flow: str
    device: str
    channel: Channel
    sign: int = 1
    optional: bool = False
    bus: str = ""
    toward: str = ""


def taps(terms: TermsLike, outputs: Collection[str] = ()) -> tuple[Tap, ...]:
    """Return the physical terms of all flows and ties of a site, in a stable order.

    Where IT is metered at the UPS output (PUE category 1), a UPS that counts as IT is read at its
    output, and so is its output where another load takes it off (losses = UPS - IT).

    Args:
        terms: The meters by role.
        outputs: The devices that measure their output.
    """
    members = [(str(role), term) for role, some in terms.roles.items() for term in some]
    halved: set[str] = set()
    if terms.pue_category == 1:
        halved = {t.meter_id for role, t in members if role == "it" and t.meter_id in outputs}
    found: list[Tap] = []
    for role, term in members:
        device, sign, bus = term.meter_id, term.sign, term.bus
        if role == "battery":
            found.append(Tap("charge", device, CHARGE, sign, bus=bus))
            found.append(Tap("discharge", device, DISCHARGE, sign, bus=bus))
            continue
        at_output = device in halved and (role == "it" or sign < 0)
        found.append(Tap(role, device, OUTPUT if at_output else FORWARD, sign, bus=bus))
        if role == "grid":
            found.append(Tap("export", device, REVERSE, sign, optional=True, bus=bus))
    for tie in terms.ties:
        there, back = (tie.source, tie.target), (tie.target, tie.source)
        for channel, (bus, toward) in ((FORWARD, there), (REVERSE, back)):
            optional = channel is REVERSE
            found.append(Tap(TIE, tie.meter_id, channel, 1, optional, bus, toward))
    return tuple(sorted(found, key=lambda t: (t.flow, t.device, t.channel.power, t.sign, t.bus)))


def summed(
    terms: Sequence[tuple[Tap, float | None]], buses: Collection[str]
) -> tuple[dict[str, Flows], tuple[TieFlow, ...]]:
    """Sum terms up to the flows of each bus, and to what the ties carried.

    Args:
        terms: Energies or powers.
        buses: All buses; one on which nothing is metered has no flows.
    """
    parts: dict[str, dict[str, list[float | None]]] = {bus: {} for bus in buses}
    ties: list[TieFlow] = []
    for tap, value in terms:
        if tap.flow == TIE:
            ties.append(TieFlow(tap.bus, tap.toward, value))
            continue
        flows = parts.setdefault(tap.bus, {})
        flows.setdefault(tap.flow, []).append(None if value is None else tap.sign * value)
    return {bus: _flows(flows) for bus, flows in parts.items()}, tuple(ties)


_Members = list[tuple[int, int]]
"""Which terms add up to a flow, and their signs."""
_Flow = list[tuple[str, _Members]]


class Sums:
    """Sums the same terms up again and again; see :func:`summed`.

    Args:
        terms: The terms.
        buses: All buses; one on which nothing is metered has no flows.
    """

    def __init__(self, terms: Sequence[Tap], buses: Collection[str]) -> None:
        parts: dict[str, dict[str, _Members]] = {bus: {} for bus in buses}
        self._ties: list[tuple[int, Tap]] = []
        for at, tap in enumerate(terms):
            if tap.flow == TIE:
                self._ties.append((at, tap))
            else:
                flows = parts.setdefault(tap.bus, {})
                flows.setdefault(tap.flow, []).append((at, tap.sign))
        self._parts: list[tuple[str, _Flow, _Flow, _Members, _Members]] = []
        for bus, flows in parts.items():
            charge, discharge = flows.pop("charge", []), flows.pop("discharge", [])
            sources = [(name, own) for name, own in flows.items() if name in _SOURCES]
            sinks = [(name, own) for name, own in flows.items() if name not in _SOURCES]
            self._parts.append((bus, sources, sinks, charge, discharge))

    def of(self, values: Sequence[float | None]) -> tuple[dict[str, Flows], tuple[TieFlow, ...]]:
        """Sum energies or powers up, given in the order of the terms."""
        nodes: dict[str, Flows] = {}
        for bus, sources, sinks, charge, discharge in self._parts:
            nodes[bus] = Flows(
                {name: _sum(own, values) for name, own in sources},
                {name: _sum(own, values) for name, own in sinks},
                _sum(charge, values),
                _sum(discharge, values),
            )
        if not self._ties:
            return nodes, ()
        return nodes, tuple(TieFlow(tap.bus, tap.toward, values[at]) for at, tap in self._ties)


def _sum(members: _Members, values: Sequence[float | None]) -> float | None:
    if len(members) == 1:
        at, sign = members[0]
        value = values[at]
        return None if value is None else value * sign + 0.0  # like fsum, never -0.0
    return total([None if (v := values[at]) is None else v * sign for at, sign in members])


def _flows(parts: Mapping[str, Sequence[float | None]]) -> Flows:
    return _sorted({flow: total(values) for flow, values in parts.items()})


def _sorted(sums: dict[str, float | None]) -> Flows:
    charge, discharge = sums.pop("charge", 0.0), sums.pop("discharge", 0.0)
    sources = {name: value for name, value in sums.items() if name in _SOURCES}
    sinks = {name: value for name, value in sums.items() if name not in _SOURCES}
    return Flows(sources, sinks, charge, discharge)
