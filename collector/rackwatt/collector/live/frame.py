# SPDX-License-Identifier: Apache-2.0
"""The frame: everything that the page shows at an instant, as one JSON object.

Times in ms since 1970 UTC, powers in W, energies in Wh, ratios 0..1, intensities in g/kWh. What is
unknown is None and never 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from rackwatt.collector.accounting.keyfigures import RETAINED
from rackwatt.collector.ledger.upkeep import Outage
from rackwatt.collector.live.demand import Demand
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.live.figures import Figures
from rackwatt.collector.site import Site
from rackwatt.collector.watchkeeping.log import Ack

STALE_MS: Final = 15_000
"""Without any newer meter reading for so long, the page says that its figures are stale."""

SOURCES: Final = ("pv", "wind", "hydro", "grid", "genset", "battery", "unknown")
SINKS: Final = (
    "it", "cooling", "losses", "other", "campus", "charge", "export", "unmetered",
)  # fmt: skip

QUALITY: Final = (
    "missing", "lost", "recovered", "rejected", "dead_letters", "spool_bytes", "store_up",
    "points_stored",
)  # fmt: skip
"""What the collectors tell of data quality; None while none of them answers."""

State = Literal["starting", "live", "stale"]


@dataclass(frozen=True, slots=True)
class LedgerView:
    """What the page tells of the ledger."""

    closed_through_ms: int | None = None
    restatements: int = 0
    held_readings: int | None = None
    """Readings that wait for a release: their agent's clock was wrong."""
    outages: Sequence[Outage] = ()
    """What is out for maintenance or is planned to be."""
    acks: Sequence[Ack] = ()
    """Alerts that somebody is at, the newest last; some may have expired."""

    def acknowledged(self, now_ms: int) -> list[dict[str, Any]]:
        """What somebody is at now; what ends first comes first."""
        return [
            {
                "id": f"{ack.time_ms} {ack.subject}",
                "alert": ack.subject,
                "author": ack.author,
                "note": ack.note,
                "since": ack.time_ms,
                "until": ack.until_ms,
            }
            for ack in sorted(self.acks, key=lambda one: one.until_ms)
            if ack.time_ms <= now_ms < ack.until_ms
        ]

    def overdue(self, now_ms: int) -> int:
        """How much is out for maintenance past its planned end."""
        return sum(one["overdue"] for one in self.maintenance(now_ms).values())

    def maintenance(self, now_ms: int) -> dict[str, dict[str, Any]]:
        """What is out at an instant, by asset; what is to be back first comes first."""
        return {
            outage.asset: {
                "asset": outage.asset,
                "since": outage.start_ms,
                "until": outage.until_ms,
                "author": outage.author,
                "reason": outage.reason,
                "overdue": outage.overdue(now_ms),
            }
            for outage in sorted(self.outages, key=lambda one: (one.until_ms, one.asset))
            if outage.out(now_ms)
        }


@dataclass(frozen=True, slots=True)
class CollectorView:
    """What the page tells of the collectors, all of them together."""

    agents: Sequence[Mapping[str, Any]] = ()
    nodes_total: int | None = None
    """None while no collector answers."""
    nodes_online: int | None = None
    quality: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def merge(summaries: Sequence[Mapping[str, Any]]) -> "CollectorView":
        """Put the collectors' summaries together; an agent counts where it was seen last."""
        agents: dict[str, Mapping[str, Any]] = {}
        quality: dict[str, Any] = {}
        if not summaries:
            return CollectorView()
        for summary in summaries:
            for agent in summary["agents"]:
                known = agents.get(agent["name"])
                if known is None or (agent["last_seen"] or 0) > (known["last_seen"] or 0):
                    agents[agent["name"]] = agent
            for name, value in summary["quality"].items():
                if isinstance(value, bool):
                    quality[name] = bool(quality.get(name, True)) and value
                else:
                    quality[name] = quality.get(name, 0) + value
        return CollectorView(
            tuple(agents[name] for name in sorted(agents)),
            sum(summary["nodes"]["total"] for summary in summaries),
            sum(summary["nodes"]["online"] for summary in summaries),
            quality,
        )


def make_frame(
    site: Site,
    figures: Figures,
    devices: Devices,
    collectors: CollectorView,
    ledger: LedgerView,
    now_ms: int,
) -> dict[str, Any]:
    """The frame of an instant."""
    return {
        "time": figures.instant_ms,
        "served": now_ms,
        "site": {
            "id": site.id,
            "name": site.name,
            "timezone": str(site.timezone),
            "simulated": site.simulated,
            "sold": any(own.attributes != RETAINED for own in site.supply.values()),
        },
        "state": _state(figures, now_ms),
        **_figures(figures),
        "demand": _demand(figures.demand),
        "battery": _battery(site, figures, devices, now_ms),
        "racks": devices.racks(now_ms),
        "gpus": devices.gpus(now_ms),
        "real_gpus": devices.real_gpus(now_ms),
        "hosts": devices.hosts(now_ms),
        "coolant": devices.coolant(now_ms),
        "agents": list(collectors.agents),
        "nodes": {"total": collectors.nodes_total, "online": collectors.nodes_online},
        "quality": {
            **dict.fromkeys(QUALITY),
            **collectors.quality,
            "completeness": figures.completeness,
            "residual_ratio": figures.residual_ratio,
            "residual_after_losses_ratio": figures.after_losses_ratio,
            "restatements": ledger.restatements,
            "held_readings": ledger.held_readings,
            "ledger_closed": ledger.closed_through_ms,
            "delay_seconds": _delay(figures, now_ms),
        },
        "maintenance": list(ledger.maintenance(now_ms).values()),
        "acks": ledger.acknowledged(now_ms),
        "events": devices.events(),
    }


def _state(figures: Figures, now_ms: int) -> State:
    if figures.instant_ms is None:
        return "starting"
    return "stale" if now_ms - figures.instant_ms > STALE_MS else "live"


def _delay(figures: Figures, now_ms: int) -> float | None:
    if figures.instant_ms is None:
        return None
    return max(0.0, (now_ms - figures.instant_ms) / 1000)


def _figures(figures: Figures) -> dict[str, Any]:
    """The part that comes from the live figures."""
    pue, shares = figures.pue, figures.shares
    origin: Mapping[str, float] = figures.source_share or {}
    return {
        "pue": {
            "value": pue.value,
            "category": pue.category,
            "window": pue.window,
            "since": pue.since_ms,
            "until": pue.until_ms,
            "reason": pue.reason,
        },
        "shares": {
            "renewable": shares.renewable,
            "grid": shares.grid,
            "carbon_free": shares.carbon_free,
            "carbon": shares.carbon,
            "on_site": shares.on_site,
            "contracted": shares.contracted,
            "unknown": shares.unknown,
            "renewable_claimable": shares.renewable_claimable,
        },
        "sources": [
            {"id": name, "power_watts": figures.sources[name], "share": origin.get(name)}
            for name in SOURCES
            if name in figures.sources
        ],
        "sinks": [
            {"id": name, "power_watts": figures.sinks[name]}
            for name in SINKS
            if name in figures.sinks
        ],
        "load_watts": figures.load_watts,
        "intensity": {
            "operational": figures.intensity.get("operational"),
            "life_cycle": figures.intensity.get("life_cycle"),
        },
    }


def _demand(demand: Demand | None) -> dict[str, float | None] | None:
    if demand is None:
        return None
    return {
        "projected_watts": demand.projected_watts,
        "subscribed_watts": demand.subscribed_watts,
        "power_watts": demand.power_watts,
        "energy_wh": demand.watt_hours,
        "since": demand.start_ms,
        "until": demand.end_ms,
        "window_minutes": demand.window_seconds / 60.0,
    }


def _battery(
    site: Site, figures: Figures, devices: Devices, now_ms: int
) -> dict[str, float | None] | None:
    if not figures.battery_known:
        return None
    meters = site.terms_at(now_ms).roles.get("battery", ())
    charges = [
        devices.value("power", term.meter_id, "state_of_charge_ratio", now_ms) for term in meters
    ]
    return {
        "stock_wh": figures.battery.watt_hours,
        "capacity_wh": None if site.battery is None else site.battery.capacity_wh,
        "state_of_charge": charges[0] if len(charges) == 1 else None,
        "charge_watts": figures.sinks.get("charge"),
        "discharge_watts": figures.sources.get("battery"),
    }
