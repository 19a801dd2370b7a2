# SPDX-License-Identifier: Apache-2.0
"""From inputs to the flows of intervals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.channels import (
    FORWARD,
    HEAT,
    ON_BATTERY,
    OUTPUT,
    STATE_OF_CHARGE,
    UTILITIES,
    WATER,
    Channel,
    Sums,
    Tap,
    TermsLike,
    taps,
)
from rackwatt.collector.accounting.flows import of_site
from rackwatt.collector.accounting.metering import Energy, MeterData, energies
from rackwatt.collector.accounting.modelled import ModelledLosses, modelled
from rackwatt.collector.accounting.power import Point
from rackwatt.collector.accounting.registers import RegisterEvent
from rackwatt.collector.accounting.residual import Measured, Sensitivities
from rackwatt.collector.accounting.uncertainty import MeterClass
from rackwatt.collector.accounting.vocabulary import HOUR_MS, WATER_OUT, total
from rackwatt.collector.ledger.inputs import Inputs
from rackwatt.collector.ledger.journal import HEAT_REUSED, WATER_DISCHARGE, WATER_LITERS, Booking
from rackwatt.collector.ledger.sites import SiteBooks, cadence_ms
from rackwatt.collector.ledger.upkeep import MAINTENANCE, Upkeep

_SHORT = 2
_MANY = 4_000
_MARKS = ("estimated", "shape_estimated", "provisional")
_UNKNOWN = Energy(None)
METER_NOT_IN_SERVICE = "meter_not_in_service"
"""Flag: a term's meter is there and not in service, so that the term is unknown."""


class Found(NamedTuple):
    """The energies of one meter over a span, and the resolution of its register, Wh."""

    energies: Sequence[Energy]
    resolution: float | None


@dataclass(slots=True)
class Span:
    """Consecutive intervals, and the energies of meters in them as they are asked for."""

    boundaries: Sequence[int]
    meters: dict[tuple[str, Channel], Found] = field(default_factory=dict)
    events: list[tuple[str, str, RegisterEvent]] = field(default_factory=list)
    terms: TermsLike | None = None
    taps: tuple[Tap, ...] = ()
    rows: Sequence[tuple[Energy, ...]] = ()
    """Of each interval the energies of all terms."""
    steps: Sequence[float | None] = ()
    """Of each term the resolution of its register, Wh."""
    points: Mapping[str, Any] | None = None
    sums: Sums = field(default_factory=lambda: Sums((), ()))
    sensitivities: Sensitivities | None = None
    supplies: Sequence[str] = ()
    """UPSs, be they metering points or not."""
    battery: str | None = None
    """The only one."""
    waiting: bool = False
    """A meter among the terms is not in service."""


_Waiting = tuple[tuple[int, int, int], Sequence[frozenset[str]], frozenset[str]]
"""Of a span (ends, length): the meters that are not in service, by interval and all together."""


class Metered:
    """Makes bookings of intervals out of inputs.

    Args:
        site: What meters mean.
        inputs: What they said.
        battery: How it is booked.
        upkeep: What was out for maintenance meanwhile; ``None``: nothing that matters here.

    Attributes:
        attributed: Whether somebody attributes what is booked: then its meters are remembered.
    """

    def __init__(
        self,
        site: SiteBooks,
        inputs: Inputs,
        battery: BatteryParameters,
        upkeep: Upkeep | None = None,
    ) -> None:
        self._site = site
        self._inputs = inputs
        self._battery = battery
        self._upkeep = upkeep
        self._kept: dict[tuple[int, int], Span] = {}
        self._kept_version = 0
        self._waiting: _Waiting | None = None
        self.attributed = False

    def bookings(
        self, boundaries: Sequence[int]
    ) -> tuple[list[Booking], list[tuple[str, str, RegisterEvent]]]:
        """Return what each interval between the boundaries is booked from, and register events.

        Args:
            boundaries: Whole hours for closed ones; see ``metering.energies``.
        """
        span = Span(boundaries, supplies=self._inputs.devices(ON_BATTERY))
        if self.attributed:
            self._keep(span)
        spans = enumerate(pairwise(boundaries))
        return [self._booking(span, at, start, end) for at, (start, end) in spans], span.events

    def taps(self, terms: TermsLike) -> tuple[Tap, ...]:
        """Return the physical terms of all flows."""
        return self._taps(terms)

    def energies(self, tap: Tap, boundaries: Sequence[int]) -> Sequence[Energy]:
        """Return the energy of each interval between boundaries, of one meter."""
        span = self._kept.get((boundaries[0], boundaries[-1]))
        if span is None or self._kept_version != self._inputs.version:
            span = Span(boundaries)
            self._keep(span)
        key = tap.device, tap.channel
        if key not in span.meters:
            span.meters[key] = self._meter(tap, boundaries)[0]
        return span.meters[key].energies

    def _keep(self, span: Span) -> None:
        """Remember a span, for who attributes it next, until other inputs come.

        Single intervals are not worth it; of a great site one span is enough to remember.
        """
        if self._kept_version != self._inputs.version:
            self._kept, self._kept_version = {}, self._inputs.version
        if len(span.boundaries) <= _SHORT:
            return
        size = sum(len(other.meters) for other in self._kept.values())
        if size > _MANY:
            self._kept.clear()
        self._kept[span.boundaries[0], span.boundaries[-1]] = span

    def knows(self, device: str) -> bool:
        """Whether a device has ever said what it draws."""
        return any(self._inputs.knows(device, f) for f in (FORWARD.power, FORWARD.energy))

    def _booking(self, span: Span, index: int, start: int, end: int) -> Booking:
        site = self._site
        terms = site.terms_at(start)
        if terms is not span.terms:
            self._turn(span, terms)
        found = span.rows[index] if span.rows else ()
        values = [energy[0] for energy in found]
        nodes, ties = span.sums.of(values)
        flags = self._marks(span, found, start, end)
        bears = self._sensitivities(span, start)
        utilities = self._utilities(span, index, start, flags) if site.utilities else {}
        claims = dict(self._claims(span, index, start)) if site.contracts else {}
        losses = self._losses(span, index, start, end) if site.modelled_losses else None
        # Only now have all meters of the interval been read.
        if span.events:
            flags |= {f"register_{e.code}" for *_, e in span.events if start < e.time_ms <= end}
        return Booking(
            of_site(list(nodes.values())),
            (len(found) - values.count(None)) / len(found) if found else 0.0,
            tuple(sorted(flags)),
            self._measured_stock(span.battery, end),
            terms.pue_category,
            claims,
            nodes if len(nodes) > 1 else None,
            ties,
            bears.uncertainty(found, (end - start) / HOUR_MS),
            utilities,
            losses,
        )

    def _turn(self, span: Span, terms: TermsLike) -> None:
        """From here on in a span other terms hold."""
        span.terms, span.taps = terms, self._taps(terms)
        columns = [self._found(tap, span) for tap in span.taps]
        span.rows = list(zip(*(own.energies for own in columns), strict=True))
        span.steps = [own.resolution for own in columns]
        span.sums, span.sensitivities = Sums(span.taps, terms.buses), None
        waiting = terms.not_in_service
        span.waiting = bool(waiting) and any(tap.device in waiting for tap in span.taps)
        batteries = [tap.device for tap in span.taps if tap.flow == "charge"]
        span.battery = batteries[0] if len(batteries) == 1 else None

    def _marks(self, span: Span, found: Sequence[Energy], start: int, end: int) -> set[str]:
        """How an interval was metered."""
        flags: set[str] = {METER_NOT_IN_SERVICE} if span.waiting else set()
        for energy in found:
            if energy[1] or energy[2] or energy[3]:
                flags.update(n for n, mark in zip(_MARKS, energy[1:], strict=True) if mark)
        if span.supplies and self._on_battery(span.supplies, start, end):
            flags.add("ups_on_battery")
        if self._upkeep is not None and self._upkeep.during(start, end):
            flags.add(MAINTENANCE)
        return flags

    def _claims(self, span: Span, index: int, start: int) -> Iterator[tuple[str, float | None]]:
        """What the plant of each contract gave."""
        for contract in self._site.contracts:
            if contract.validity.holds(start):
                plant = Tap("claim", contract.meter, FORWARD)
                yield contract.id, self._measured(plant, span, index).energy.watt_hours

    def _utilities(self, span: Span, index: int, start: int, flags: set[str]) -> dict[str, Any]:
        """Water by source and reused heat, of those that are metered; flag what is odd of them."""
        water: dict[str, list[float | None]] = {}
        away: list[float | None] = []
        heat: list[float | None] = []
        for meter in self._site.utilities:
            if not meter.validity.holds(start):
                continue
            name, channel = ("water", WATER) if meter.kind == "water" else ("heat", HEAT)
            energy = self._measured(Tap(name, meter.id, channel), span, index).energy
            if channel is not WATER:
                heat.append(energy.watt_hours)
            elif meter.source == WATER_OUT:
                away.append(energy.watt_hours)
            else:
                water.setdefault(meter.source, []).append(energy.watt_hours)
            if energy.estimated:
                flags.add(f"{name}_estimated")
        found: dict[str, Any] = {}
        if water:
            found[WATER_LITERS] = {name: total(parts) for name, parts in water.items()}
        if away:
            found[WATER_DISCHARGE] = total(away)
        if heat:
            found[HEAT_REUSED] = total(heat)
        return found

    def _losses(self, span: Span, index: int, start: int, end: int) -> ModelledLosses:
        """What transformers and lines lose that no meter sees."""
        models = self._site.modelled_losses
        energies: dict[str, float | None] = {}
        for device in {meter for model in models for meter in model.meters}:
            found = self._measured(Tap("modelled", device, FORWARD), span, index)
            energies[device] = found.energy.watt_hours
        return modelled(models, energies, (end - start) / HOUR_MS)

    def _sensitivities(self, span: Span, start: int) -> Sensitivities:
        """How the terms bear upon the residual, by how good the physical meters are."""
        points = self._site.meters_at(start)
        if span.sensitivities is None or points is not span.points:
            span.points = points
            classes = {
                name: MeterClass(m.accuracy, m.transformer_class, m.calibration_group)
                for name, m in points.items()
            }
            span.sensitivities = Sensitivities(zip(span.taps, span.steps, strict=True), classes)
        return span.sensitivities

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

    def _measured(self, tap: Tap, span: Span, index: int) -> Measured:
        found = self._found(tap, span)
        return Measured(tap, found.energies[index], found.resolution)

    def _found(self, tap: Tap, span: Span) -> Found:
        key = tap.device, tap.channel
        if key not in span.meters:
            span.meters[key], events = self._meter(tap, span.boundaries)
            span.events += [(tap.device, tap.channel.energy, event) for event in events]
        return span.meters[key]

    def _meter(self, tap: Tap, boundaries: Sequence[int]) -> tuple[Found, list[RegisterEvent]]:
        inputs, channel = self._inputs, tap.channel
        cadence = cadence_ms(self._site, tap.device, boundaries[0])
        low, high = boundaries[0], boundaries[-1]
        registers = inputs.points(tap.device, channel.energy, low, high)
        if registers:
            # The shape of a gap and the power before a step may lie outside the span.
            low = min(low, registers[0][0] - 2 * cadence)
            high = max(high, registers[-1][0])
        powers = inputs.points(tap.device, channel.power, low, high)
        if channel in UTILITIES:
            # Heat that comes back in is not reused.
            scale = channel.per_hour
            powers = [(time_ms, max(value, 0.0) * scale) for time_ms, value in powers]
        spec = inputs.spec(tap.device, channel.energy, cadence, boundaries[0])
        data = MeterData(registers, powers, spec, inputs.swaps(tap.device))
        above = self._above(tap, boundaries[0])
        if above is not None and _has_gap(registers, 2 * cadence):
            parent = inputs.points(above, FORWARD.power, low, high)
            pace = cadence_ms(self._site, above, boundaries[0])
            data = replace(data, parent=parent, parent_cadence_ms=pace)
        found, events = energies(boundaries, data)
        signed = self._signed(tap.device, boundaries, found)
        return Found(signed, spec.resolution_watt_hours), events

    def _signed(
        self, device: str, boundaries: Sequence[int], found: Sequence[Energy]
    ) -> Sequence[Energy]:
        """What of a meter's energies may be signed: those of intervals that it is in service."""
        span = boundaries[0], boundaries[-1], len(boundaries)
        if self._waiting is None or self._waiting[0] != span:
            # A state holds for an interval if it does at its start.
            sets = [frozenset(self._site.terms_at(at).not_in_service) for at in boundaries[:-1]]
            self._waiting = span, sets, frozenset().union(*sets)
        _, waiting_in, ever = self._waiting
        if device not in ever:
            return found
        pairs = zip(found, waiting_in, strict=True)
        return [_UNKNOWN if device in waiting else energy for energy, waiting in pairs]

    def _above(self, tap: Tap, time_ms: int) -> str | None:
        """The meter that feeds this one, as far as the site names a physical one."""
        meter = self._site.meters_at(time_ms).get(tap.device)
        if meter is None or tap.channel is not FORWARD:
            return None
        if meter.parent in self._site.terms_at(time_ms).not_in_service:
            return None
        return meter.parent or None

    def _on_battery(self, supplies: Sequence[str], start: int, end: int) -> bool:
        return any(
            start < time_ms <= end and value > 0.0
            for device in supplies
            for time_ms, value in self._inputs.points(device, ON_BATTERY, start, end)
        )

    def _measured_stock(self, battery: str | None, end: int) -> float | None:
        """The stock by the state of charge, if there is one battery with a known capacity."""
        capacity = self._battery.capacity_watt_hours
        if capacity is None or battery is None:
            return None
        if not self._inputs.knows(battery, STATE_OF_CHARGE):
            return None
        low = end - 2 * cadence_ms(self._site, battery, end)
        points = self._inputs.points(battery, STATE_OF_CHARGE, low, end)
        fresh = [value for time_ms, value in points if low < time_ms <= end]
        return fresh[-1] * capacity if fresh else None


def _has_gap(readings: Sequence[Point], near_ms: int) -> bool:
    return any(later[0] - sooner[0] > near_ms for sooner, later in pairwise(readings))
