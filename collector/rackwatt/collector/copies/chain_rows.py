# SPDX-License-Identifier: Apache-2.0
"""The chains of an instant as rows of the store: feeds, racks, redundancy groups, the site.

A row is written once and never revised; what is unknown is not among its fields, and a row of
which nothing is known is not made.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import Final

from rackwatt.collector.live.chain import ChainState
from rackwatt.collector.live.chain_plan import LEAVES
from rackwatt.collector.site.topology import SiteChains
from rackwatt.collector.store.base import Row

FEED: Final = "chain_feed"
RACK: Final = "chain_rack"
GROUP: Final = "chain_group"
SITE: Final = "chain_site"

Values = Mapping[str, float | int | bool | None]


def chain_rows(
    site: str, chains: SiteChains, state: ChainState, time_ms: int, *, racks: bool
) -> list[Row]:
    """What the store keeps of the chains.

    Args:
        site: Its id.
        chains: Of the site file.
        state: What they carry.
        time_ms: When they were looked at.
        racks: With what feeds racks and their PDUs: of a campus, thousands of rows.
    """
    made = [
        *_feeds(chains, state, racks=racks),
        *(_racks(state) if racks else ()),
        *_groups(state),
        (SITE, {}, _site(state)),
    ]
    return [
        Row(
            name,
            tuple(sorted((k, v) for k, v in {"site": site, **tags}.items() if v)),
            known,
            time_ms,
        )
        for name, tags, values in made
        if (known := _known(values))
    ]


def _feeds(
    chains: SiteChains, state: ChainState, *, racks: bool
) -> Iterator[tuple[str, dict[str, str], Values]]:
    power = chains.power
    for name, one in state.edges.items():
        edge = one.edge
        if not racks and power.assets[edge.target].kind in LEAVES:
            continue
        other = state.failovers.get(name)
        amperes = {
            f"current_l{number}_amperes": value
            for number, value in enumerate(one.load.amperes, start=1)
        }
        tags = {"feed": name, "side": power.side(edge), "source": edge.source}
        yield FEED, tags, {
            "power_watts": one.load.watts,
            **amperes,
            "load_ratio": one.ratio if edge.rated else None,
            "headroom_watts": one.headroom_watts if edge.rated else None,
            "failover_ratio": None if other is None else other.after.ratio,
            "at_risk_ratio": None if other is None else other.at_risk,
        }  # fmt: skip


def _racks(state: ChainState) -> Iterator[tuple[str, dict[str, str], Values]]:
    room = {} if state.room is None else state.room.consumers
    for name in sorted({*room, *state.ride_through}):
        yield RACK, {"rack": name}, {
            "room_watts": room.get(name), "ride_through_seconds": state.ride_through.get(name),
        }  # fmt: skip


def _groups(state: ChainState) -> Iterator[tuple[str, dict[str, str], Values]]:
    for name, one in (*state.groups.items(), *state.pumps.items()):
        yield (
            GROUP,
            {"group": name},
            {
                "needed_number": one.needed,
                "available_number": one.available,
                "spare_number": one.spare,
            },
        )


def _site(state: ChainState) -> Values:
    seconds = [each for each in state.ride_through.values() if each is not None]
    return {
        "sellable_watts": None if state.room is None else state.room.sellable_watts,
        "stranded_watts": None if state.room is None else state.room.stranded_watts,
        "losses_watts": state.losses_watts,
        "ride_through_seconds": min(seconds, default=None),
        "feeds_at_risk_number": _count(one.at_risk for one in state.failovers.values()),
    }


def _count(risks: Iterable[bool | None]) -> int | None:
    """How many are at risk; None where there is no other side anywhere."""
    told = list(risks)
    return sum(risk is True for risk in told) if told else None


def _known(values: Values) -> dict[str, float | str]:
    return {
        name: float(value)
        for name, value in values.items()
        if value is not None and isfinite(value)
    }
