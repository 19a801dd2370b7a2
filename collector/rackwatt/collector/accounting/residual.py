# SPDX-License-Identifier: Apache-2.0
"""How far the residual of an interval may lie from 0 by the meters' own uncertainty.

First order after the GUM (JCGM 100:2008, 5.1.2), per physical meter with its net sensitivity:
``u(R)^2 = sum_m (s_m E_m r_m)^2 + sum_m (s_m a_m)^2 / 6``. ``s_m E_m`` is what a meter adds to the
residual over all flows it is a term of, so one that counts in one flow and is taken off in another
(losses = UPS - IT) cancels; ``r_m`` is its relative standard uncertainty. A register's value is
known to one step a of its resolution: a rectangular distribution, ``a / sqrt(12)`` for each of the
two boundary values (GUM F.2.2.1). Where a step is too coarse for the interval, the register gives
the hour its sum and power gives the shape: an interval then has its part of that step.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rackwatt.collector.accounting.channels import OUTPUT, TIE, Tap
from rackwatt.collector.accounting.metering import Energy
from rackwatt.collector.accounting.registers import FINE_RATIO
from rackwatt.collector.accounting.uncertainty import MeterClass, combined
from rackwatt.collector.accounting.vocabulary import GENERATION

_ADDING = frozenset({*GENERATION, "grid", "discharge"})


class Measured(NamedTuple):
    """The energy of one term in one interval.

    Attributes:
        tap: The term.
        energy: What it measured.
        resolution: Of its register, Wh; ``None``: finer than matters, or not known.
    """

    tap: Tap
    energy: Energy
    resolution: float | None = None


def residual_uncertainty(
    terms: Iterable[Measured], classes: Mapping[str, MeterClass], part_of_hour: float
) -> float | None:
    """Return the standard uncertainty of the residual, Wh.

    What ties carry stays within the site and counts for nothing.

    Args:
        terms: All terms of the site.
        classes: By device. The input and the output of a UPS are two meters of one class.
        part_of_hour: Length of the interval in hours.

    Returns:
        ``None`` if an energy, or the class of a meter that counts, is not known.
    """
    found = list(terms)
    known = Sensitivities([(term.tap, term.resolution) for term in found], classes)
    return known.uncertainty([term.energy for term in found], part_of_hour)


class Sensitivities:
    """How the terms of a site bear upon its residual, for many intervals.

    Args:
        terms: All terms, and the resolution of each one's register; see :class:`Measured`.
        classes: By device; see :func:`residual_uncertainty`.
    """

    def __init__(
        self, terms: Iterable[tuple[Tap, float | None]], classes: Mapping[str, MeterClass]
    ) -> None:
        self._length = 0
        self._meters: list[tuple[list[tuple[int, int]], float | None, str]] = []
        """Of each physical meter that counts: its terms and their signs; relative uncertainty,
        ``None``: it has no class; calibration group."""
        self._registers: list[tuple[int, int, str, float]] = []
        """Coarse ones: term, sign, name, resolution."""
        members: dict[str, list[tuple[int, int]]] = {}
        for at, (tap, resolution) in enumerate(terms):
            self._length = at + 1
            if tap.flow == TIE:
                continue
            # Both directions of a meter share its error; a UPS's output is measured by itself.
            name = f"{tap.device} output" if tap.channel is OUTPUT else tap.device
            sign = tap.sign if tap.flow in _ADDING else -tap.sign
            if resolution is not None:
                self._registers.append((at, sign, f"{name} {tap.channel.energy}", resolution))
            if name not in members:
                members[name] = []
                known = classes.get(tap.device)
                relative, group = (None, "") if known is None else (known.relative, known.group)
                self._meters.append((members[name], relative, group))
            members[name].append((at, sign))

    def uncertainty(self, found: Sequence[Energy], part_of_hour: float) -> float | None:
        """Return the standard uncertainty of the residual, Wh; terms in the order of the taps."""
        if len(found) != self._length:
            msg = f"{len(found)} energies of {self._length} terms"
            raise ValueError(msg)
        alone: list[float] = []
        groups: dict[str, list[float]] = {}
        for members, relative, group in self._meters:
            net = 0.0
            for at, sign in members:
                watt_hours = found[at][0]
                if watt_hours is None:
                    return None
                net += sign * watt_hours
            if net == 0.0:
                continue
            if relative is None:
                return None
            if group:
                groups.setdefault(group, []).append(net * relative)
            else:
                alone.append(net * relative)
        return combined(alone, groups, self._steps(found, part_of_hour) if self._registers else ())

    def _steps(self, found: Sequence[Energy], part_of_hour: float) -> Iterable[float]:
        """Return what a step of each coarse register adds; all energies are known."""
        steps: dict[str, float] = {}
        for at, sign, register, resolution in self._registers:
            energy = found[at]
            if not energy.estimated:
                coarse = resolution > FINE_RATIO * (energy.watt_hours or 0.0)
                step = resolution * part_of_hour if coarse else resolution
                steps[register] = steps.get(register, 0.0) + sign * step
        return steps.values()
