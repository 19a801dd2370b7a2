# SPDX-License-Identifier: Apache-2.0
"""What a meter under test says, and what a check finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final, Literal

CheckName = Literal["phase_sign", "phase_order", "ct_ratio", "sums", "clock"]
CheckState = Literal["passed", "failed", "undecided", "not_measured"]

LEAST_PART: Final = 0.02
"""A phase with less of the greatest phase's power tells nothing of its wiring."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase as a meter reads it; ``None``: it does not say.

    Attributes:
        watts: Active power, signed.
        volts: Voltage to neutral.
        amperes: Current, never negative.
    """

    watts: float | None = None
    volts: float | None = None
    amperes: float | None = None

    @property
    def factor(self) -> float | None:
        """Active over apparent power, signed, as the three readings have it."""
        if self.watts is None or not self.volts or not self.amperes:
            return None
        return self.watts / (self.volts * self.amperes)


@dataclass(frozen=True, slots=True)
class Probe:
    """A meter as it reads now, medians over some seconds.

    Attributes:
        meter: Its name.
        watts: Active power of all phases, signed: positive is the meter's forward direction.
        phases: L1, L2, L3; empty of a meter that tells no phases.
        lags: From the readings' own times to their receipt, s.
        accuracy: Relative standard uncertainty of its class and its transformers.
        both_ways: Energy may flow through it in both directions.
    """

    meter: str
    watts: float | None = None
    phases: tuple[Phase, ...] = ()
    lags: Sequence[float] = ()
    accuracy: float = 0.0
    both_ways: bool = False

    @property
    def phase_watts(self) -> list[float] | None:
        """Power by phase; ``None`` unless all are known."""
        found = [phase.watts for phase in self.phases if phase.watts is not None]
        return found if len(found) == len(self.phases) > 0 else None

    @property
    def turned_watts(self) -> float | None:
        """What it would read with all its phases the right way round."""
        watts = self.phase_watts
        return self.watts if watts is None else fsum(abs(value) for value in watts)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: Which one.
        state: ``undecided``: it could be checked and cannot now; ``not_measured``: this meter
            never tells what it needs.
        text: What was seen and, where something is wrong, what to do.
        phases: Phases at fault, ``L1`` to ``L3``.
    """

    check: CheckName
    state: CheckState
    text: str
    phases: tuple[str, ...] = ()


def may_be_accepted(findings: Sequence[Finding]) -> bool:
    """Whether a meter passes: nothing failed, its clock is right, and its sum was compared.

    What could not be decided holds it up, unless the meter does not measure it.
    """
    states = {found.check: found.state for found in findings}
    if "failed" in states.values() or states.get("clock") != "passed":
        return False
    phases = (states.get(name) for name in ("phase_sign", "phase_order"))
    compared = states.get("sums") == "passed" and states.get("ct_ratio") == "passed"
    return compared and "undecided" not in phases


def power(watts: float) -> str:
    """`10.0 kW`."""
    for least, unit in ((1e6, "MW"), (1e3, "kW")):
        if abs(watts) >= least:
            return f"{watts / least:.4g} {unit}"
    return f"{watts:.4g} W"


def name_of(phase: int) -> str:
    """`L1` of phase 0."""
    return f"L{phase + 1}"


def listed(names: Sequence[str]) -> str:
    """`L1, L2 and L3`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
