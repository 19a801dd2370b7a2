# SPDX-License-Identifier: Apache-2.0
"""What feeds say of an instant, and how sources and sinks are shown."""

from collections.abc import Mapping, Sequence
from typing import Final

from rackwatt.collector.accounting.flows import Flows
from rackwatt.collector.accounting.interval import IntervalAccount
from rackwatt.collector.accounting.modelled import LossModel, modelled
from rackwatt.collector.accounting.vocabulary import LOADS, total
from rackwatt.collector.live.window import HOLD, Feed

SILENT_MS: Final = 60_000
"""Once all meters have been silent for so long, their terms are missing."""

HOUR_SECONDS: Final = 3600.0


def fresh(feed: Feed | None, instant: int, now_ms: int) -> float | None:
    """The power at an instant, unless the meter has been silent for too long to tell."""
    if feed is None:
        return None
    own = feed.times
    if not own.times:
        return None
    silent = now_ms - own.times[-1]
    if silent > SILENT_MS and silent > HOLD * own.cadence_ms:
        return None
    return feed.watts(instant)


def estimate(feed: Feed | None, start_ms: int, end_ms: int) -> float | None:
    """The energy of a short span, Wh; None if it is unknown."""
    return None if feed is None else feed.estimate(start_ms, end_ms)


def sources(flows: Flows, result: IntervalAccount) -> dict[str, float | None]:
    """Sources for people, in W."""
    unknown = None if result.residual is None else result.unknown * HOUR_SECONDS
    return {**flows.sources, "battery": flows.discharge, "unknown": unknown}


def sinks(flows: Flows, result: IntervalAccount) -> dict[str, float | None]:
    """Sinks for people: a difference of meters that dips below 0 shows as 0.

    What a load lacks then is in IT, which it was taken off: slow PDUs tell the mean of a window in
    which the fast UPS meter has since seen less. So the loads still sum up to the load.
    """
    shown = dict(flows.sinks)
    for name, value in flows.sinks.items():
        if value is None or value >= 0.0:
            continue
        shown[name] = 0.0
        it = shown.get("it")
        if name in LOADS and it is not None:
            shown["it"] = max(it + value, 0.0)
    unmetered = None if result.residual is None else result.unmetered * HOUR_SECONDS
    return {**shown, "charge": flows.charge, "unmetered": unmetered}


def after_losses(
    models: Sequence[LossModel],
    watts: Mapping[str, float | None],
    flows: Flows,
    result: IntervalAccount,
) -> float | None:
    """The residual less modelled losses, as a part of the sources; None without a model."""
    supplied = total([*flows.sources.values(), flows.discharge])
    if not models or result.residual_ratio is None or not supplied:
        return None
    lost = modelled(models, watts, 1.0).watt_hours
    return None if lost is None else result.residual_ratio - lost / supplied


def times(value: float | None, factor: float) -> float | None:
    """A product of what may be unknown."""
    return None if value is None else value * factor
