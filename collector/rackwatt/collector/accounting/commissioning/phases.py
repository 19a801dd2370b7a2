# SPDX-License-Identifier: Apache-2.0
"""Whether each phase's current transformer points the right way and sits on its own phase.

The order is told from the phases' power factors: current of phase j measured against the voltage
of phase i, in a balanced load of angle phi, gives cos(phi + 120 deg (j - i)). A transformer the
wrong way round changes the sign. Of all wirings the simplest one that explains what is read is
taken. Angles beyond 45 degrees are not looked for: a load of such a factor is compensated, and
without the limit some wirings could not be told apart.
"""

from collections.abc import Sequence
from itertools import permutations, product
from math import cos, radians
from typing import Final, NamedTuple

from rackwatt.collector.accounting.commissioning.findings import (
    LEAST_PART,
    CheckName,
    Finding,
    Phase,
    Probe,
    listed,
    name_of,
    power,
)

_ANGLES: Final = range(-45, 46)
_GOOD: Final = 0.5
"""Every phase with so great a power factor: nothing is crossed."""
_COMMON: Final = 0.7
"""A load of a lower power factor is rare: of three phases together it tells of a wrong wiring."""
_FITS: Final = 0.1
_PHASES: Final = 3


class Wiring(NamedTuple):
    """Which phase's current each transformer measures, and which way round."""

    order: tuple[int, ...]
    signs: tuple[int, ...]

    @property
    def changes(self) -> int:
        """How many things are wrong in it."""
        moved = sum(phase != own for own, phase in enumerate(self.order))
        return moved + sum(sign < 0 for sign in self.signs)


WIRINGS: Final = tuple(
    sorted(
        (Wiring(o, s) for o in permutations(range(_PHASES)) for s in product((1, -1), repeat=3)),
        key=lambda wiring: wiring.changes,
    )
)
"""All of them, the simplest first."""


def phase_sign(probe: Probe) -> Finding:
    """Whether power flows the same way in all phases, and forward where it must."""
    watts = probe.phase_watts
    if watts is None:
        return _without_phases(probe)
    idle = _idle(watts)
    if idle:
        return _idle_phases("phase_sign", idle)
    backward = sum(value < 0 for value in watts)
    forward_is_right = not probe.both_ways or backward * 2 <= len(watts)
    wrong = [at for at, value in enumerate(watts) if (value < 0) is forward_is_right]
    if not wrong:
        return Finding("phase_sign", "passed", f"all phases one way: {_all(watts)}")
    names = tuple(name_of(at) for at in wrong)
    if _crossed(probe):
        text = f"{listed(names)} backward, {_all(watts)}: crossed, not reversed; see phase_order"
    elif len(wrong) == len(watts):
        text = (
            f"all phases are reversed: {_all(watts)}: turn all current transformers round, or "
            "swap S1 and S2 of each"
        )
    else:
        text = (
            f"{listed(names)} {'is' if len(names) == 1 else 'are'} reversed: {_all(watts)}: turn "
            f"the current transformer of {listed(names)} round, or swap its S1 and S2"
        )
    return Finding("phase_sign", "failed", text, names)


def phase_order(probe: Probe) -> Finding:
    """Whether each transformer sits on the phase whose voltage it is multiplied with."""
    if len(probe.phases) != _PHASES:
        return Finding("phase_order", "not_measured", "the meter does not tell three phases")
    found = [phase.factor for phase in probe.phases]
    factors = [factor for factor in found if factor is not None]
    if len(factors) < _PHASES:
        if any(None in (p.watts, p.volts, p.amperes) for p in probe.phases):
            text = "the meter does not tell power, voltage and current of each phase"
            return Finding("phase_order", "not_measured", text)
        idle = [at for at, factor in enumerate(found) if factor is None]
        return _idle_phases("phase_order", idle)
    idle = _idle([_apparent(phase) for phase in probe.phases])
    if idle:
        return _idle_phases("phase_order", idle)
    shown = ", ".join(f"{name_of(at)} {factor:+.2f}" for at, factor in enumerate(factors))
    backward = max(factors) <= -_GOOD
    if min(factors) >= _GOOD or (backward and probe.both_ways):
        return Finding("phase_order", "passed", f"power factors {shown}")
    if backward:  # reversed all three, or each on its neighbour: they look alike
        text = f"power factors {shown}: set the directions right first, then call again"
        return Finding("phase_order", "undecided", text)
    wiring = wiring_of(factors)
    if wiring is None:
        text = (
            f"power factors {shown} fit no single wiring: check which voltage and which current "
            "belong together"
        )
        return Finding("phase_order", "failed", text)
    moved = [at for at, phase in enumerate(wiring.order) if at != phase]
    if not moved:
        return Finding("phase_order", "passed", f"power factors {shown}: none is on another phase")
    where = ", ".join(
        f"the transformer of {name_of(at)} measures {name_of(wiring.order[at])}" for at in moved
    )
    text = f"the phases are crossed: {where} (power factors {shown}): put each on its own phase"
    return Finding("phase_order", "failed", text, tuple(name_of(at) for at in moved))


def _crossed(probe: Probe) -> bool:
    """Whether signs are wrong because transformers sit on other phases, and for nothing else."""
    factors = [phase.factor for phase in probe.phases if phase.factor is not None]
    if len(factors) != _PHASES or max(factors) <= -_GOOD:
        return False
    wiring = wiring_of(factors)
    return wiring is not None and wiring.changes > 0 and min(wiring.signs) > 0


def wiring_of(factors: Sequence[float]) -> Wiring | None:
    """The simplest wiring that explains three power factors; ``None``: none does."""
    for wiring in WIRINGS:
        if min(_distance(wiring, factors, angle) for angle in _ANGLES) <= _FITS:
            return wiring
    return None


def _distance(wiring: Wiring, factors: Sequence[float], angle: int) -> float:
    return max(
        abs(factor - sign * cos(radians(angle + 120 * (phase - own))))
        for own, (phase, sign, factor) in enumerate(
            zip(wiring.order, wiring.signs, factors, strict=True)
        )
    )


def _apparent(phase: Phase) -> float:
    return (phase.volts or 0.0) * (phase.amperes or 0.0)


def _idle(values: Sequence[float]) -> list[int]:
    """Phases that carry next to nothing beside the others; all, where none carries anything."""
    most = max(abs(value) for value in values)
    return [at for at, value in enumerate(values) if abs(value) <= LEAST_PART * most]


def _idle_phases(check: CheckName, idle: Sequence[int]) -> Finding:
    names = tuple(name_of(at) for at in idle)
    verb = "carries" if len(names) == 1 else "carry"
    text = f"{listed(names)} {verb} next to nothing: load every phase and call again"
    return Finding(check, "undecided", text)


def _without_phases(probe: Probe) -> Finding:
    """A meter that tells no power by phase may still betray a reversed one by its currents."""
    apparent = [_apparent(phase) for phase in probe.phases]
    if probe.watts is None or len(apparent) != _PHASES or not all(apparent):
        return Finding("phase_sign", "not_measured", "the meter does not tell power by phase")
    whole = sum(apparent)
    fits = [
        at
        for at, own in enumerate(apparent)
        if abs(abs(probe.watts) - (whole - 2 * own)) <= 0.05 * whole
    ]
    if not fits or abs(probe.watts) >= _COMMON * whole:
        return Finding("phase_sign", "not_measured", "the meter does not tell power by phase")
    names = tuple(name_of(at) for at in fits)
    text = (
        f"reads {power(probe.watts)} at {power(whole).replace('W', 'VA')}: as if "
        f"{' or '.join(names)} were reversed: turn its current transformer round"
    )
    return Finding("phase_sign", "failed", text, names)


def _all(watts: Sequence[float]) -> str:
    return ", ".join(f"{name_of(at)} {power(value)}" for at, value in enumerate(watts))
