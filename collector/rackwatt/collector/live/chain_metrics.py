# SPDX-License-Identifier: Apache-2.0
"""The chains as Prometheus metrics. What is unknown is absent, never 0.

Series: three for each edge that has a rating, one for each rack with a thermal mass, so some
19,000 for 2,540 racks with two PDUs each; and at most four, power and currents, for each edge that
is asked for in detail.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import isfinite
from typing import Final

from prometheus_client.core import Metric

from rackwatt.collector.live.chain import ChainState
from rackwatt.wire.metrics import MetricSpec, Sample

_FEED: Final = ("site", "feed", "side")

POWER: Final = MetricSpec(
    "rackwatt_feed_power_watts",
    "gauge",
    "What a feed carries; of many feeds those above PDUs and racks only.",
    _FEED,
)
CURRENT: Final = MetricSpec(
    "rackwatt_feed_current_amperes",
    "gauge",
    "The same by phase: L1, L2, L3.",
    (*_FEED, "phase"),
)
LOAD_RATIO: Final = MetricSpec(
    "rackwatt_feed_load_ratio",
    "gauge",
    "Load of a feed over its continuous rating, the worst phase; feed is SOURCE>TARGET.",
    _FEED,
)
FAILOVER_RATIO: Final = MetricSpec(
    "rackwatt_feed_failover_ratio",
    "gauge",
    "The same if the other side were gone: above 1 the feed is at risk.",
    _FEED,
)
HEADROOM: Final = MetricSpec(
    "rackwatt_feed_headroom_watts",
    "gauge",
    "What a feed may still take for ever, its worst phase on all phases; negative: too much.",
    _FEED,
)
SELLABLE: Final = MetricSpec(
    "rackwatt_capacity_sellable_watts",
    "gauge",
    "What all racks together may still take, each side able to carry it alone.",
    ("site",),
)
STRANDED: Final = MetricSpec(
    "rackwatt_capacity_stranded_watts",
    "gauge",
    "Room at the racks' own feeds that nothing above them can fill.",
    ("site",),
)
LOSSES: Final = MetricSpec(
    "rackwatt_chain_losses_watts",
    "gauge",
    "Modelled losses of transformers and lines.",
    ("site",),
)
SPARE: Final = MetricSpec(
    "rackwatt_redundancy_spare_number",
    "gauge",
    "Assets of a redundancy group that may fail before fewer than needed are left; negative:"
    " fewer already.",
    ("site", "group"),
)
RIDE_THROUGH: Final = MetricSpec(
    "rackwatt_ride_through_seconds",
    "gauge",
    "Until a rack's machines shut down without cooling, by its heat masses and present power.",
    ("site", "rack"),
)

CATALOGUE: Final[Sequence[MetricSpec]] = (
    POWER, CURRENT, LOAD_RATIO, FAILOVER_RATIO, HEADROOM, SELLABLE, STRANDED, LOSSES, SPARE,
    RIDE_THROUGH,
)  # fmt: skip


def chain_families(
    site: str, state: ChainState, sides: Mapping[str, str], detailed: Collection[str] | None = None
) -> list[Metric]:
    """The chains as metric families; empty on a site without chains.

    Args:
        site: its id.
        state: the chains.
        sides: side by edge id.
        detailed: edges of which power and currents are told, too; None: of all.
    """
    told = [
        (edge_id, one.load)
        for edge_id, one in state.edges.items()
        if detailed is None or edge_id in detailed
    ]
    rated = [(edge_id, one) for edge_id, one in state.edges.items() if one.edge.rated]

    def feed(values: Iterable[tuple[str, float | None]]) -> list[Sample]:
        return _known(((site, name, sides.get(name, "")), value) for name, value in values)

    after = state.failovers
    room = state.room
    spare = [
        (name, None if one.spare is None else float(one.spare))
        for name, one in (*state.groups.items(), *state.pumps.items())
    ]
    currents = (
        ((site, name, sides.get(name, ""), f"L{number}"), amperes)
        for name, load in told
        for number, amperes in enumerate(load.amperes, start=1)
    )
    families = [
        POWER.family(feed((name, load.watts) for name, load in told)),
        CURRENT.family(_known(currents)),
        LOAD_RATIO.family(feed((name, one.ratio) for name, one in rated)),
        FAILOVER_RATIO.family(
            feed((name, after[name].after.ratio) for name, _ in rated if name in after)
        ),
        HEADROOM.family(feed((name, one.headroom_watts) for name, one in rated)),
        SELLABLE.family(_known([((site,), None if room is None else room.sellable_watts)])),
        STRANDED.family(_known([((site,), None if room is None else room.stranded_watts)])),
        LOSSES.family(_known([((site,), state.losses_watts)])),
        SPARE.family(_known(((site, name), value) for name, value in spare)),
        RIDE_THROUGH.family(
            _known(
                ((site, rack), seconds if seconds is None or isfinite(seconds) else None)
                for rack, seconds in state.ride_through.items()
            )
        ),
    ]
    return [family for family in families if family.samples]


def _known(values: Iterable[tuple[tuple[str, ...], float | None]]) -> list[Sample]:
    return [(labels, value) for labels, value in values if value is not None]
