# SPDX-License-Identifier: Apache-2.0
"""Pipeline: does every reading arrive, is it booked, and would we notice if not?"""

from typing import Final

from rackwatt.alerts.alert import Alert, Severity
from rackwatt.alerts.thresholds import Limits

_NODES: Final = "rackwatt_gpu_nodes"


def _of(name: str, expr: str, severity: Severity, wait: str = "", keep: str = "") -> Alert:
    """One of this family: platform's, shown on the dashboard "Pipeline"."""
    return Alert(name=name, expr=expr, severity=severity, owner="platform", board="pipeline",
                 wait=wait, keep=keep)  # fmt: skip


def alerts(limits: Limits) -> list[Alert]:
    """Those of this family."""
    return [*_alive(), *_agents(limits), *_messages(limits), *_keeping(limits), *_books(limits)]


def _alive() -> list[Alert]:
    """Whether anybody watches at all: what all other alerts rest upon."""
    return [
        Alert(name="DeadMansSwitch", expr="vector(1)", severity="none", owner="platform",
              board="pipeline", labels={"class": "heartbeat"}),
        _of("AccountantDown", 'up{job="rackwatt"} == 0', "page", "20s", "1m"),
        _of("CollectorDown", 'up{job="rackwatt-collector"} == 0', "page", "20s", "1m"),
        _of("NobodyWatched", 'absent(up{job="rackwatt"})', "page", "20s", "1m"),
        _of("AgentUnwatched", 'up{job="rackwatt-agent"} == 0', "ticket", "5m", "5m"),
    ]  # fmt: skip


def _agents(limits: Limits) -> list[Alert]:
    silent = (
        "(rackwatt_agent_up == 0) * on (site, agent) group_left (hall)\n"
        "  max by (site, agent, hall) (rackwatt_agent_info)\n"
        "or\n"
        "(rackwatt_agent_up == 0) unless on (site, agent) rackwatt_agent_info\n"
    )
    return [
        _of("BrokerDown", "rackwatt_broker_up == 0", "page", "20s", "1m"),
        _of("AgentSilent", silent, "page", "10s", "1m"),
        _of("RackNodesSilent",
            f'sum by (site, rack) ({_NODES}{{state!="online"}}) / sum by (site, rack) ({_NODES})'
            f" {limits.bad('nodes_silent_ratio')}", "ticket", "5m", "5m"),
        _of("ClockOffset",
            f"abs(rackwatt_clock_offset_seconds) {limits.warn('clock_offset_seconds')}",
            "ticket", "10m"),
        _of("OutboxOverflowing",
            "increase(rackwatt_agent_messages_evicted_total[15m]) > 0", "ticket"),
    ]  # fmt: skip


def _messages(limits: Limits) -> list[Alert]:
    refused, by = "rackwatt_messages_rejected_total", "sum by (site, reason)"
    new = limits.warn("messages_rejected")
    # A counter that is born with 1 has not increased.
    rejected = (
        f"{by} (increase({refused}[15m])) {new}\n"
        f"or ({by} ({refused}) unless {by} ({refused} offset 15m)) {new}\n"
    )
    return [
        _of("MessagesMissing",
            f"rackwatt_messages_missing {limits.bad('messages_missing')}", "ticket", "10m"),
        _of("MessagesLost",
            f"increase(rackwatt_messages_lost_total[1h]) {limits.warn('messages_lost')}", "ticket"),
        _of("MessagesRejected", rejected, "ticket", "1m", "15m"),
        _of("DeadLettersPiling",
            f"rackwatt_deadletter_messages {limits.bad('deadletter_messages')}", "digest", "1h"),
    ]  # fmt: skip


def _keeping(limits: Limits) -> list[Alert]:
    return [
        _of("SpoolGrowing",
            f"rackwatt_spool_full_ratio {limits.warn('spool_full_ratio')}", "ticket", "5m"),
        _of("SpoolFilling",
            f"rackwatt_spool_full_ratio {limits.bad('spool_full_ratio')}", "page", "20s", "5m"),
        _of("ConsumerBehind",
            f"rackwatt_spool_oldest_seconds {limits.bad('spool_oldest_seconds')}", "ticket", "5m"),
        _of("StoreDown", "rackwatt_store_up == 0", "ticket", "2m", "5m"),
        _of("StoreSlow",
            f"rackwatt_store_lag_seconds {limits.bad('store_lag_seconds')}", "ticket", "15m"),
    ]  # fmt: skip


def _books(limits: Limits) -> list[Alert]:
    return [
        _of("FiguresStale",
            "time() - rackwatt_figures_timestamp_seconds"
            f" {limits.bad('figures_age_seconds')}", "page", "20s", "1m"),
        _of("LedgerLate",
            "time() - rackwatt_ledger_closed_timestamp_seconds"
            f" {limits.bad('book_age_seconds')}", "ticket", "5m"),
        _of("LedgerCopyBehind",
            f"rackwatt_ledger_copy_lag_entries {limits.bad('copy_lag_entries')}", "ticket", "30m"),
        _of("RestatementsUnusual",
            "increase(rackwatt_ledger_restatements_total[1h])"
            f" {limits.warn('restatements_an_hour')}", "ticket", "2h"),
        _of("ReadingsHeld",
            f"rackwatt_ledger_held_readings {limits.warn('held_readings')}", "ticket", "15m"),
    ]  # fmt: skip
