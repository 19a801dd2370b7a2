# SPDX-License-Identifier: Apache-2.0
"""Maintenance as silences of Alertmanager: absence may be muted, safety and measured values never.

What is muted is named alert by alert, and each silence excludes what is a matter of safety. It ends
at the planned end: work that takes longer is said with `rackwatt maintenance extend`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from rackwatt.collector.live.chain_plan import LEAVES
from rackwatt.collector.signals.feeds import Feeds
from rackwatt.collector.site import Site
from rackwatt.collector.watchkeeping.remotes import NoAnswer, Remote, silences_of

FEEDS: Final = ("FeedLost",)
FEED_METERS: Final = ("FeedMeterSilent",)
RACKS: Final = ("NodeSilentRackPowered", "RackNodesSilent")
GPUS: Final = ("GpuLost",)
METERS: Final = ("MeterStuck", "RegisterReset")
GROUPS: Final = ("RedundancyUsed",)
MUTABLE: Final = frozenset({*FEEDS, *FEED_METERS, *RACKS, *GPUS, *METERS, *GROUPS})
"""Alerts that say that something is not there; no others are ever muted from here."""
_LOUD: Final = "safety"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition of a silence."""

    name: str
    value: str
    regex: bool = False
    equal: bool = True

    def as_dict(self) -> dict[str, Any]:
        """As Alertmanager's API has it."""
        return {
            "name": self.name,
            "value": self.value,
            "isRegex": self.regex,
            "isEqual": self.equal,
        }


def matchers(site: Site, asset: str, now_ms: int) -> list[list[Matcher]]:
    """The silences that an asset's maintenance calls for; what hangs on it alone is out with it."""
    power, cooling = site.chains.power, site.chains.cooling
    gone = {asset}
    for chain in (power, cooling):
        if asset in chain.assets:
            gone |= chain.lost_with(asset)
    racks = [rack for rack in site.racks_at(now_ms) if rack.id in gone]
    found = [
        *_of_feeds(site, gone),
        *_any(RACKS, "rack", [rack.id for rack in racks]),
        *_any(GPUS, "rack", [rack.id for rack in racks]),
        *_of_node(site, asset),
        *_any(METERS, "meter", gone & site.meters_at(now_ms).keys()),
        *_any(GROUPS, "group", _groups(site, gone)),
    ]
    return [[*_common(site), *own] for own in found]


def _common(site: Site) -> list[Matcher]:
    return [
        Matcher("site", site.id),
        Matcher("severity", _LOUD, equal=False),
        Matcher("class", f"{_LOUD}.*", regex=True, equal=False),
    ]


def _any(alerts: Sequence[str], label: str, values: Iterable[str]) -> list[list[Matcher]]:
    names = sorted(values)
    if not names:
        return []
    either = "|".join(re.escape(name) for name in names)
    return [
        [Matcher("alertname", "|".join(alerts), regex=True), Matcher(label, either, regex=True)]
    ]


def _of_feeds(site: Site, gone: set[str]) -> list[list[Matcher]]:
    """Feeds that begin or end at what is gone, and the meters on them, by side."""
    power = site.chains.power
    assets = [name for name in sorted(gone) if name in power.assets]
    told = [re.escape(name) for name in assets if power.assets[name].kind != "rack"]
    if not told:
        return []
    either = "|".join(told)
    found = [
        [
            Matcher("alertname", "|".join(FEEDS), regex=True),
            Matcher("feed", f"(.+>)?({either})(>.+)?", regex=True),
        ]
    ]
    feeds = Feeds(power, {rack.id: (rack.hall, rack.row) for rack in site.racks})
    rows: dict[str, set[str]] = {}
    for name in assets:
        for edge in (*power.into(name), *power.out_of(name)):
            home = feeds.home(edge)
            own = edge.source in gone or power.assets[edge.target].kind in LEAVES
            if own and edge.meter and home.row:
                rows.setdefault(feeds.side(edge), set()).add(home.row)
    for side, names in sorted(rows.items()):
        found.extend([*some, Matcher("side", side)] for some in _any(FEED_METERS, "row", names))
    return found


def _of_node(site: Site, asset: str) -> list[list[Matcher]]:
    rack = site.node_racks.get(asset)
    if rack is None:
        return []
    gpus = Matcher("gpu", f"{re.escape(asset)}/.+", regex=True)
    return [
        [Matcher("alertname", "|".join(GPUS), regex=True), gpus],
        *_any(RACKS, "rack", [rack.id]),
    ]


def _groups(site: Site, gone: set[str]) -> set[str]:
    chains = (site.chains.power, site.chains.cooling)
    found = {chain.assets[name].group for chain in chains for name in gone if name in chain.assets}
    return found - {""}


def mark(asset: str) -> str:
    """How a silence's comment begins that is of an asset's maintenance."""
    return f"rackwatt maintenance of {asset}: "


def begin(
    servers: Sequence[Remote],
    wanted: Sequence[Sequence[Matcher]],
    span_ms: tuple[int, int],
    author: str,
    comment: str,
) -> list[str]:
    """Make silences; return their ids.

    Args:
        servers: The members of one cluster; the first that takes them passes them on.
        wanted: The conditions of each.
        span_ms: From when, until when.
        author: Who says so.
        comment: Why; it begins with `mark`.

    Raises:
        NoAnswer: no Alertmanager took them.
    """
    start, end = (_stamp(at) for at in span_ms)
    bodies: list[Mapping[str, Any]] = [
        {
            "matchers": [one.as_dict() for one in conditions],
            "startsAt": start,
            "endsAt": end,
            "createdBy": author,
            "comment": comment,
        }
        for conditions in wanted
    ]
    return [str(_first(servers, "/api/v2/silences", body)["silenceID"]) for body in bodies]


def end(servers: Sequence[Remote], site: Site, asset: str) -> int:
    """End the silences of an asset's maintenance; return how many there were.

    Raises:
        NoAnswer: no Alertmanager answered.
    """
    head, place = mark(asset), f'site="{site.id}"'
    found = [one for one in silences_of(servers) if one.comment.startswith(head)]
    found = [one for one in found if place in one.matchers]
    for one in found:
        _first(servers, f"/api/v2/silence/{one.id}", None)
    return len(found)


def _first(servers: Sequence[Remote], path: str, body: Mapping[str, Any] | None) -> Any:
    """Post a body, or delete a path, at the first member that answers."""
    failures: list[str] = []
    for server in servers:
        try:
            return server.delete(path) if body is None else server.post(path, body)
        except NoAnswer as error:
            failures.append(str(error))
    raise NoAnswer("; ".join(failures))


def _stamp(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
