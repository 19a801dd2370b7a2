# SPDX-License-Identifier: Apache-2.0
"""All checks of a meter's commissioning together."""

from typing import Final

from rackwatt.collector.accounting.commissioning.comparing import Family, ct_ratio, sums
from rackwatt.collector.accounting.commissioning.findings import Finding, Probe
from rackwatt.collector.accounting.commissioning.phases import phase_order, phase_sign

EARLY_SECONDS: Final = 2.0
"""So far ahead of the collector a reading's time may be."""
LATE_SECONDS: Final = 10.0
"""So long after its own time it may come, or three cadences."""


def checks(probe: Probe, family: Family, cadence_seconds: float = 1.0) -> list[Finding]:
    """Check a meter.

    Args:
        probe: As it reads.
        family: What it is compared with.
        cadence_seconds: How often it is read.
    """
    return [
        phase_sign(probe),
        phase_order(probe),
        ct_ratio(probe, family),
        sums(probe, family),
        clock(probe, cadence_seconds),
    ]


def clock(probe: Probe, cadence_seconds: float) -> Finding:
    """Whether readings bear the time at which they were taken."""
    if not probe.lags:
        return Finding("clock", "undecided", f"{probe.meter} says nothing: is its agent running?")
    worst = max(probe.lags, key=abs)
    late = max(LATE_SECONDS, 3 * cadence_seconds)
    if min(probe.lags) < -EARLY_SECONDS:
        text = f"its readings are {-min(probe.lags):.1f} s ahead: set the clock of its agent"
        return Finding("clock", "failed", text)
    if max(probe.lags) > late:
        text = (
            f"its readings are {max(probe.lags):.1f} s old when they arrive: set the clock of its "
            "agent, or wait until the agent has caught up"
        )
        return Finding("clock", "failed", text)
    return Finding("clock", "passed", f"readings arrive {worst:+.1f} s after their time")
