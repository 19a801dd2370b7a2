# SPDX-License-Identifier: Apache-2.0
"""Each promise beside what is measured: by the frame of now, and by the closed books."""

from collections.abc import Mapping
from math import fsum
from typing import Any, Final

from rackwatt.collector.accounting.commitments import Commitment, Measured, Stand, state_of
from rackwatt.collector.commitments.first_load import NO_BOOKS, READING
from rackwatt.collector.roles.standing import Standing
from rackwatt.collector.site import Site

COVERAGE: Final = "coverage"
_UNKNOWN: Final = Measured(reason="unknown")


def stands(
    site: Site,
    frame: Mapping[str, Any],
    standing: Standing,
    first_loads: Mapping[str, Measured],
    *,
    now_ms: int,
    empty: bool,
) -> list[Stand]:
    """Return all promises of a site.

    Args:
        site: The site.
        frame: Of now.
        standing: What the closed books say of the year.
        first_loads: Since when phases carry load, by commitment.
        now_ms: The present, ms since 1970 UTC.
        empty: Whether no book is closed yet.
    """
    today = site.local(now_ms).date()
    found = []
    for one in site.commitments:
        if one.kind == "in_service":
            year = first_loads.get(one.id, _UNKNOWN)
        else:
            year = _of_year(one, standing, empty=empty)
        live = _live(site, one, frame)
        found.append(Stand(one, live, year, state_of(one, year, today)))
    return found


def _of_year(commitment: Commitment, standing: Standing, *, empty: bool) -> Measured:
    year = standing.year
    if year is None:
        return Measured(reason=NO_BOOKS if empty else READING)
    if commitment.kind == "capacity":
        peak = standing.year_peak_watts
        # The highest hour that is known; one that is not may have been higher.
        coverage = year.load.coverage
        reason = COVERAGE if peak is None else None
        return Measured(peak, at_least=coverage < 1.0, reason=reason, coverage=coverage)
    value, coverage = year.shares.renewable_claimable, year.shares_coverage
    return Measured(value, reason=COVERAGE if value is None else None, coverage=coverage)


def _live(site: Site, commitment: Commitment, frame: Mapping[str, Any]) -> Measured:
    state = frame.get("state")
    if state != "live":
        return Measured(reason="stale" if state == "stale" else "starting")
    match commitment.kind:
        case "capacity":
            value = frame.get("load_watts")
        case "renewable_share":
            value = (frame.get("shares") or {}).get("renewable_claimable")
        case "in_service":
            return _phase_load(site, commitment, frame)
    return _UNKNOWN if value is None else Measured(value)


def _phase_load(site: Site, commitment: Commitment, frame: Mapping[str, Any]) -> Measured:
    """What the racks of a phase draw now; of the whole site its IT."""
    halls = {hall for phase in site.phases if phase.id == commitment.phase for hall in phase.halls}
    if not halls:
        sinks = {sink["id"]: sink["power_watts"] for sink in frame.get("sinks") or ()}
        value = sinks.get("it")
        return _UNKNOWN if value is None else Measured(value)
    powers = [rack["power_watts"] for rack in frame.get("racks") or () if rack["hall"] in halls]
    known = [power for power in powers if power is not None]
    if not known:
        return Measured(reason="unknown" if powers else "no_racks")
    return Measured(fsum(known), at_least=len(known) < len(powers))
