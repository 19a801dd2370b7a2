# SPDX-License-Identifier: Apache-2.0
"""From inputs to the flows of intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.channels import (
    ON_BATTERY,
    OUTPUT,
    STATE_OF_CHARGE,
    Channel,
    Tap,
    TermsLike,
    taps,
)
from rackwatt.collector.accounting.interval import Flows
from rackwatt.collector.accounting.metering import Energy, MeterData, energies
from rackwatt.collector.accounting.registers import RegisterEvent
from rackwatt.collector.accounting.vocabulary import GENERATION, total
from rackwatt.collector.ledger.inputs import Inputs
from rackwatt.collector.ledger.journal import Booking
from rackwatt.collector.ledger.sites import SiteBooks, cadence_ms

SOURCE_FLOWS = frozenset({*GENERATION, "grid"})


@dataclass(slots=True)
class Span:
    """Consecutive intervals, and the energies of meters in them as they are asked for."""

    boundaries: Sequence[int]
    meters: dict[tuple[str, Channel], list[Energy]] = field(default_factory=dict)
    events: list[tuple[str, str, RegisterEvent]] = field(default_factory=list)


class Metered:
    """Makes bookings of intervals out of inputs."""

    def __init__(self, site: SiteBooks, inputs: Inputs, battery: BatteryParameters) -> None:
        self._site = site
        self._inputs = inputs
        self._battery = battery

    def bookings(
        self, boundaries: Sequence[int]
    ) -> tuple[list[Booking], list[tuple[str, str, RegisterEvent]]]:
        """Return what each interval between the boundaries is booked from, and register events.

        Args:
            boundaries: Whole hours for closed ones; see ``metering.energies``.
        """
        span = Span(boundaries)
        result: list[Booking] = []
        for index, (start, end) in enumerate(pairwise(boundaries)):
            terms = self._site.terms_at(start)
            members = self._taps(terms)
            found = [(tap, self._energy(tap, span, index)) for tap in members]
            flows, completeness, flags = _flows(found)
            if self._on_battery(members, start, end):
                flags.add("ups_on_battery")
            result.append(
                Booking(
                    flows,
                    completeness,
                    tuple(sorted(flags)),
                    self._measured_stock(members, end),
                    terms.pue_category,
                )
            )
        return result, span.events

    def _taps(self, terms: TermsLike) -> tuple[Tap, ...]:
        inputs = self._inputs
        outputs = {
            member.meter_id
            for member in terms.roles.get("it", ())
            if inputs.knows(member.meter_id, OUTPUT.power)
            or inputs.knows(member.meter_id, OUTPUT.energy)
        }
        return tuple(
            tap
            for tap in taps(terms, outputs)
            if not tap.optional
            or inputs.knows(tap.device, tap.channel.power)
            or inputs.knows(tap.device, tap.channel.energy)
        )

    def _energy(self, tap: Tap, span: Span, index: int) -> Energy:
        key = tap.device, tap.channel
        if key not in span.meters:
            span.meters[key], events = self._meter(tap, span.boundaries)
            span.events += [(tap.device, tap.channel.energy, event) for event in events]
        return span.meters[key][index]

    def _meter(
        self, tap: Tap, boundaries: Sequence[int]
    ) -> tuple[list[Energy], list[RegisterEvent]]:
        inputs, channel = self._inputs, tap.channel
        cadence = cadence_ms(self._site, tap.device, boundaries[0])
        low, high = boundaries[0], boundaries[-1]
        registers = inputs.readings(tap.device, channel.energy, low, high)
        if registers:
            # The shape of a gap and the power before a step may lie outside the span.
            low = min(low, registers[0].time_ms - 2 * cadence)
            high = max(high, registers[-1].time_ms)
        powers = inputs.readings(tap.device, channel.power, low, high)
        spec = inputs.spec(tap.device, channel.energy, cadence)
        swaps = inputs.swaps(tap.device)
        return energies(boundaries, MeterData(registers, powers, spec, swaps))

    def _on_battery(self, members: Sequence[Tap], start: int, end: int) -> bool:
        devices = {tap.device for tap in members if self._inputs.knows(tap.device, ON_BATTERY)}
        return any(
            start < reading.time_ms <= end and reading.value > 0.0
            for device in devices
            for reading in self._inputs.readings(device, ON_BATTERY, start, end)
        )

    def _measured_stock(self, members: Sequence[Tap], end: int) -> float | None:
        """The stock by the state of charge, if there is one battery with a known capacity."""
        batteries = [tap.device for tap in members if tap.flow == "charge"]
        capacity = self._battery.capacity_watt_hours
        if capacity is None or len(batteries) != 1:
            return None
        low = end - 2 * cadence_ms(self._site, batteries[0], end)
        readings = self._inputs.readings(batteries[0], STATE_OF_CHARGE, low, end)
        fresh = [reading.value for reading in readings if low < reading.time_ms <= end]
        return fresh[-1] * capacity if fresh else None


def _flows(found: Sequence[tuple[Tap, Energy]]) -> tuple[Flows, float, set[str]]:
    """Sum terms up to flows; say which part of the terms is known, and how they were metered."""
    terms: dict[str, list[float | None]] = {}
    flags: set[str] = set()
    known = 0
    for tap, energy in found:
        value = energy.watt_hours
        terms.setdefault(tap.flow, []).append(None if value is None else tap.sign * value)
        known += value is not None
        for name in ("estimated", "shape_estimated", "provisional"):
            if getattr(energy, name):
                flags.add(name)
    sums = {flow: total(values) for flow, values in terms.items()}
    battery = {name: sums.pop(name, 0.0) for name in ("charge", "discharge")}
    flows = Flows(
        {name: value for name, value in sums.items() if name in SOURCE_FLOWS},
        {name: value for name, value in sums.items() if name not in SOURCE_FLOWS},
        battery["charge"],
        battery["discharge"],
    )
    return flows, known / len(found) if found else 0.0, flags
