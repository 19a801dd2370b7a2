# SPDX-License-Identifier: Apache-2.0
"""What the page shows of the chains: from the utility down to what feeds racks, and a rack's ways.

Powers in W, currents in A by phase, ratios of the continuous rating, times in s. What is unknown
is None. Racks and their PDUs are summed up under what feeds them: a campus has thousands.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from rackwatt.collector.accounting.capacity.chain import Asset, Chain, Edge
from rackwatt.collector.accounting.capacity.redundancy import Redundancy
from rackwatt.collector.live.chain import ChainState
from rackwatt.collector.live.chain_levels import levels_of, total
from rackwatt.collector.live.chain_plan import LEAVES, Bank, ChainPlan, Plans
from rackwatt.collector.site.topology import SiteChains

_MOST_RISKS: Final = 24


def overview(chains: SiteChains, state: ChainState, plans: Plans | None = None) -> dict[str, Any]:
    """Both chains without their racks.

    Args:
        chains: Both.
        state: What they carry.
        plans: Halls and banks; None: made for this once, without halls.
    """
    plans = plans or Plans.of(chains, {})
    return {
        "power": _chain(chains, chains.power, state, plans.power) if chains.power else None,
        "cooling": _chain(chains, chains.cooling, state, plans.cooling) if chains.cooling else None,
        "groups": [_redundancy(name, one) for name, one in state.groups.items()],
        "pumps": [_redundancy(name, one) for name, one in state.pumps.items()],
        "capacity": _capacity(state),
        "losses_watts": state.losses_watts,
        "ride_through_seconds": _shortest(state),
        "ride_through_unknown": sum(one is None for one in state.ride_through.values()),
    }


def feed(
    chain: Chain, state: ChainState, asset: str, power: Chain | None = None
) -> list[dict[str, Any]]:
    """The racks below an asset, with what limits each one.

    Args:
        chain: The asset's.
        state: What the chains carry.
        asset: Which one.
        power: The chain that feeds the racks, where `chain` cools them.

    Raises:
        KeyError: there is no such asset.
    """
    chain.assets[asset]
    below = chain.downstream(asset)
    names = [name for name in chain.order if name in below and chain.assets[name].kind == "rack"]
    fed_by = power or chain
    risks = risks_above(fed_by, state)
    return [_rack(fed_by, state, name, risks) for name in names]


def rack(chains: SiteChains, state: ChainState, name: str) -> dict[str, Any]:
    """A rack, and every way from the utility and from the chillers down to it.

    Raises:
        KeyError: there is no such rack.
    """
    found: dict[str, Any] = {"id": name, "power": None, "cooling": None}
    if name not in chains.power.assets and name not in chains.cooling.assets:
        raise KeyError(name)
    for key, chain in (("power", chains.power), ("cooling", chains.cooling)):
        if name in chain.assets:
            wanted = chain.upstream(name) | {name}
            found[key] = _part(chain, state, wanted)
    if name in chains.power.assets:
        found |= _rack(chains.power, state, name, risks_above(chains.power, state))
    return found


def risks_above(chain: Chain, state: ChainState) -> dict[str, bool | None]:
    """Whether anything on an asset's ways would carry too much with the other side down.

    None: unknown of some of it, or nothing on it has another side.
    """
    found: dict[str, bool | None] = {}
    told: set[str] = set()
    for name in chain.order:
        into = chain.feeding(name)
        own = [
            one.at_risk
            for edge in into
            if edge.rated and (one := state.failovers.get(edge.id)) is not None
        ]
        above = [found[edge.source] for edge in into if edge.source in told]
        if own or above:
            told.add(name)
        found[name] = _any([*own, *above])
    return found


def _rack(
    chain: Chain, state: ChainState, name: str, risks: Mapping[str, bool | None]
) -> dict[str, Any]:
    into = chain.into(name) if name in chain.assets else ()
    feeds = [state.edges[edge.id] for edge in into if edge.id in state.edges]
    ride = state.ride_through.get(name)
    return {
        "id": name,
        "watts": total(one.load.watts for one in feeds),
        "sides": sorted({chain.side(one.edge) for one in feeds} - {""}),
        "at_risk": risks.get(name),
        "room_watts": None if state.room is None else state.room.consumers.get(name),
        "limit": "" if state.room is None else state.room.limits.get(name, ""),
        "ride_through_seconds": ride if ride is None or isfinite(ride) else None,
    }


def _chain(chains: SiteChains, chain: Chain, state: ChainState, plan: ChainPlan) -> dict[str, Any]:
    wanted = {name for name, asset in chain.assets.items() if asset.kind not in LEAVES}
    found = _part(chain, state, wanted)
    for asset in found["assets"]:
        asset["hall"] = plan.halls.get(asset["id"], "")
    power = chains.power or chain
    above = risks_above(power, state)
    found["banks"] = [_bank(power, state, bank, above) for bank in plan.banks]
    found["risks"] = _risks(chain, state, plan)
    found["levels"] = levels_of(chain, state)
    under: dict[str, Any] = {}
    for name in wanted:
        if any(edge.target not in wanted for edge in chain.out_of(name)):
            under[name] = _summed(power, state, _racks_below(chain, name), above)
    found["under"] = under
    return found


def _part(chain: Chain, state: ChainState, wanted: Iterable[str]) -> dict[str, Any]:
    names = set(wanted)
    levels = _levels(chain)
    return {
        "assets": [
            _asset(chain, state, chain.assets[name], levels[name])
            for name in chain.order
            if name in names
        ],
        "edges": [
            _edge(chain, state, edge)
            for edge in chain.edges
            if edge.source in names and edge.target in names
        ],
    }


def _levels(chain: Chain) -> dict[str, int]:
    """How many edges lie between an asset and the farthest beginning of the chain."""
    levels: dict[str, int] = {}
    for name in chain.order:
        levels[name] = max((levels[edge.source] + 1 for edge in chain.into(name)), default=0)
    return levels


def _asset(chain: Chain, state: ChainState, asset: Asset, level: int) -> dict[str, Any]:
    sides = {chain.side(edge) for edge in (*chain.into(asset.id), *chain.out_of(asset.id))}
    sides.discard("")
    return {
        "id": asset.id,
        "kind": asset.kind,
        "level": level,
        "side": sides.pop() if len(sides) == 1 else "",
        "group": asset.group,
        "common": asset.common,
        "maintenance": asset.id in state.maintenance,
    }


def _edge(chain: Chain, state: ChainState, edge: Edge) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": edge.id,
        "source": edge.source,
        "target": edge.target,
        "side": chain.side(edge),
        "standby": edge.standby,
    }
    now = state.edges.get(edge.id)
    if now is None:
        return found
    after = state.failovers.get(edge.id)
    return found | {
        "rating_amperes": edge.amperes,
        "rating_watts": edge.watts,
        "continuous_amperes": edge.continuous_amperes,
        "continuous_watts": edge.continuous_watts,
        "derating": edge.derating,
        "watts": now.load.watts,
        "amperes": list(now.load.amperes),
        "measured": now.load.measured,
        "ratio": now.ratio,
        "phase": now.phase,
        "headroom_watts": now.headroom_watts,
        "failover_ratio": None if after is None else after.after.ratio,
        "failover_amperes": None if after is None else list(after.after.load.amperes),
        "failover_phase": 0 if after is None else after.phase,
        "at_risk": None if after is None else after.at_risk,
    }


def _bank(
    chain: Chain, state: ChainState, bank: Bank, risks: Mapping[str, bool | None]
) -> dict[str, Any]:
    found = _summed(chain, state, bank.racks, risks)
    return {"id": bank.id, "hall": bank.hall, "feeds": list(bank.feeds), **found}


def _risks(chain: Chain, state: ChainState, plan: ChainPlan) -> list[dict[str, Any]]:
    """Feeds that would carry most of what they may, were the other side gone; the worst first."""
    edges = {edge.id: edge for edge in chain.edges}
    rated = [
        (one.after.ratio, name)
        for name, one in state.failovers.items()
        if name in edges and one.after.ratio is not None
    ]
    worst = sorted(rated, key=lambda pair: (-pair[0], pair[1]))[:_MOST_RISKS]
    return [
        _edge(chain, state, edges[name])
        | {"kind": chain.assets[edges[name].target].kind,
           "hall": plan.halls.get(edges[name].target, "")}
        for _, name in worst
    ]  # fmt: skip


def _summed(
    chain: Chain, state: ChainState, racks: Sequence[str], risks: Mapping[str, bool | None]
) -> dict[str, Any]:
    """Racks together; `chain` is the power chain, if there is one."""
    rooms = [_rack(chain, state, rack, risks) for rack in racks]
    rides = [one["ride_through_seconds"] for one in rooms]
    known = [seconds for seconds in rides if seconds is not None]
    return {
        "racks": len(racks),
        "watts": total(one["watts"] for one in rooms),
        "at_risk": sum(one["at_risk"] is True for one in rooms),
        "unknown": sum(one["at_risk"] is None for one in rooms),
        "ride_through_seconds": min(known) if known else None,
    }


def _racks_below(chain: Chain, name: str) -> Sequence[str]:
    found: dict[str, None] = {}
    waiting = [edge.target for edge in chain.out_of(name)]
    while waiting:
        one = waiting.pop()
        kind = chain.assets[one].kind
        if kind == "rack":
            found[one] = None
        elif kind in LEAVES:
            waiting += [edge.target for edge in chain.out_of(one)]
    return list(found)


def _redundancy(name: str, one: Redundancy) -> dict[str, Any]:
    return {
        "id": name,
        "needed": one.needed,
        "installed": one.installed,
        "available": one.available,
        "state": one.state,
    }


def _capacity(state: ChainState) -> dict[str, Any] | None:
    room = state.room
    if room is None:
        return None
    risky = [one.at_risk for one in state.failovers.values() if one.after.edge.rated]
    return {
        "sellable_watts": room.sellable_watts,
        "stranded_watts": room.stranded_watts,
        "unknown_racks": len(room.unknown),
        "feeds_at_risk": sum(one is True for one in risky),
        "feeds_over": sum(one.over for one in state.edges.values()),
    }


def _shortest(state: ChainState) -> float | None:
    known = [s for s in state.ride_through.values() if s is not None and isfinite(s)]
    return min(known) if known else None


def _any(values: Iterable[bool | None]) -> bool | None:
    """True if one is; None if none is and one is unknown."""
    found: Mapping[bool | None, None] = dict.fromkeys(values)
    if True in found:
        return True
    return None if None in found or not found else False
