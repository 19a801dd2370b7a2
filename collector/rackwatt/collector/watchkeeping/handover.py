# SPDX-License-Identifier: Apache-2.0
"""What one shift tells the next: what is on, what is muted, what is out, what is lost, what is due.

Times in ms since 1970 UTC. What could not be asked for is ``None`` and named in `unknown`: an empty
list means that there is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, tzinfo
from typing import Any, Final, Literal

from rackwatt.collector.ledger.upkeep import Outage
from rackwatt.collector.site import Site
from rackwatt.collector.watchkeeping.log import Ack, Line, Log
from rackwatt.collector.watchkeeping.remotes import Alert, Silence

HOUR_MS: Final = 3_600_000
AHEAD_HOURS: Final = 12
"""Maintenance that is to end within the next shift is due."""
CALIBRATION_DAYS: Final = 30
MOST_KEPT: Final = 200
"""Alerts of a signed handover: the journal is kept for ever."""
_RANKS: Final = {"critical": 0, "warning": 1}

DueKind = Literal["maintenance_end", "maintenance_start", "calibration"]


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that is on, and who is at it."""

    alert: Alert
    ack: Ack | None

    @property
    def severity(self) -> str:
        """As its label says."""
        return self.alert.labels.get("severity", "")


@dataclass(frozen=True, slots=True)
class Group:
    """A redundancy group, or the pumps of one unit, with less than was installed."""

    id: str
    needed: int
    installed: int
    available: int | None
    state: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Redundancy that is lost.

    Attributes:
        groups: With less than was installed, or unknown.
        feeds: Edges that would carry too much were the other side gone: id and ratio of the
            continuous rating; the worst ones.
        feeds_at_risk: How many there are.
        racks: Racks that hang on fewer feeds than they have, by what is out for maintenance.
    """

    groups: Sequence[Group] = ()
    feeds: Sequence[tuple[str, float]] = ()
    feeds_at_risk: int = 0
    racks: Sequence[str] = ()

    @property
    def nothing(self) -> bool:
        """Whether all is as it was built."""
        return not (self.groups or self.feeds_at_risk or self.racks)


@dataclass(frozen=True, slots=True)
class Due:
    """Work of the next shift, or of the next weeks."""

    kind: DueKind
    subject: str
    time_ms: int
    overdue: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Handover:
    """All of it.

    Attributes:
        site: Its name.
        zone: Its clocks.
        since_ms: When the shift began.
        until_ms: Now.
        author: Who leads the shift; "" if nobody took the watch.
        crew: Who is with them.
        alerts: What is on, the worst first; ``None``: not known.
        silences: What is muted; ``None``: not known.
        acks: Acknowledgements of the shift, those that still hold too.
        outages: What is out for maintenance, or was in the shift.
        lost: ``None``: not known.
        due: Work, the next one first.
        lines: The log of the shift.
        unknown: Who did not answer.
        to: Who takes over; "" where that is not said.
        has_chains: Whether the site file says what feeds what.
    """

    site: str
    zone: tzinfo
    since_ms: int
    until_ms: int
    author: str = ""
    crew: Sequence[str] = ()
    alerts: Sequence[OpenAlert] | None = None
    silences: Sequence[Silence] | None = None
    acks: Sequence[Ack] = ()
    outages: Sequence[Outage] = ()
    lost: Lost | None = None
    due: Sequence[Due] = ()
    lines: Sequence[Line] = ()
    unknown: Sequence[str] = field(default=())
    to: str = ""
    has_chains: bool = True

    def signed(self) -> dict[str, Any]:
        """As the journal keeps it: in a storm of alerts, the worst ones and how many there are."""
        alerts = self.alerts
        some = replace(self, alerts=None if alerts is None else alerts[:MOST_KEPT])
        return {**some.as_dict(), "alerts_on": None if alerts is None else len(alerts)}

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "site": self.site,
            "timezone": str(self.zone),
            "since_ms": self.since_ms,
            "until_ms": self.until_ms,
            "author": self.author,
            "crew": list(self.crew),
            "to": self.to,
            "alerts": None if self.alerts is None else [_alert(one) for one in self.alerts],
            "silences": None if self.silences is None else [asdict(one) for one in self.silences],
            "acknowledgements": [asdict(one) for one in self.acks],
            "maintenance": [asdict(one) for one in self.outages],
            "redundancy_lost": None if self.lost is None else asdict(self.lost),
            "work_due": [asdict(one) for one in self.due],
            "log": [asdict(one) for one in self.lines],
            "unknown": list(self.unknown),
        }


def _alert(one: OpenAlert) -> dict[str, Any]:
    ack = None if one.ack is None else asdict(one.ack)
    return {**asdict(one.alert), "acknowledged": ack}


def with_acks(alerts: Sequence[Alert], log: Log, now_ms: int) -> list[OpenAlert]:
    """Alerts with the newest acknowledgement that holds; the worst first, then the oldest."""
    holding = [ack for ack in log.acks if ack.time_ms <= now_ms < ack.until_ms]
    found = [
        OpenAlert(alert, next((a for a in reversed(holding) if a.fits(alert.labels)), None))
        for alert in alerts
    ]
    return sorted(found, key=lambda one: (_RANKS.get(one.severity, 2), one.alert.since_ms))


def lost_of(overview: Mapping[str, Any], site: Site, log: Log, now_ms: int) -> Lost:
    """What ``/api/chain`` and the site's diagram say of lost redundancy.

    Raises:
        KeyError: that is no overview of chains.
    """
    groups = [
        Group(one["id"], one["needed"], one["installed"], one["available"], one["state"])
        for one in (*overview["groups"], *overview["pumps"])
        if one["available"] is None or one["available"] < one["installed"]
    ]
    risks = (overview["power"] or {"risks": []})["risks"]
    capacity = overview["capacity"] or {"feeds_at_risk": 0}
    return Lost(
        groups,
        [(one["id"], one["failover_ratio"]) for one in risks if one["at_risk"]],
        capacity["feeds_at_risk"],
        _on_fewer_feeds(site, {o.asset for o in log.outages if o.out(now_ms)}),
    )


def _on_fewer_feeds(site: Site, out: set[str]) -> list[str]:
    chain = site.chains.power
    if not out or not chain:
        return []
    gone = out | chain.lost_with(*out)
    return [
        name
        for name, asset in chain.assets.items()
        if asset.kind == "rack"
        and name not in out
        and any(edge.source in gone for edge in chain.into(name))
    ]


def due_of(log: Log, calibrations: Mapping[str, date], now_ms: int, zone: tzinfo) -> list[Due]:
    """Work that is due.

    Args:
        log: What was said of maintenance.
        calibrations: The last day of each meter's calibration.
        now_ms: The present.
        zone: By whose days calibrations end.
    """
    found: list[Due] = []
    soon = now_ms + AHEAD_HOURS * HOUR_MS
    for outage in log.outages:
        if outage.end_ms is not None:
            continue
        if outage.planned(now_ms) and outage.start_ms <= soon:
            text = outage.reason
            found.append(Due("maintenance_start", outage.asset, outage.start_ms, False, text))
        if outage.until_ms <= soon:
            late = outage.overdue(now_ms)
            found.append(Due("maintenance_end", outage.asset, outage.until_ms, late, outage.reason))
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    for meter, last in calibrations.items():
        if (last - today).days <= CALIBRATION_DAYS:
            noon = datetime(last.year, last.month, last.day, 12, tzinfo=zone)
            at = round(noon.timestamp() * 1000)
            found.append(Due("calibration", meter, at, last < today))
    return sorted(found, key=lambda one: (one.time_ms, one.subject))
