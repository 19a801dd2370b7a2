# SPDX-License-Identifier: Apache-2.0
"""Electrical: is power there on both sides, within what the copper and the contract bear?"""

from typing import Final

from rackwatt.alerts.alert import Alert, Severity
from rackwatt.alerts.thresholds import Limits

_LOAD: Final = "rackwatt_feed_load_ratio"
_CURRENT: Final = "rackwatt_feed_current_amperes"
_VOLTAGE: Final = "rackwatt_voltage_ratio"
_FREQUENCY: Final = "rackwatt_frequency_hertz"
_PROJECTED: Final = "rackwatt_settlement_projected_watts"
_SUBSCRIBED: Final = "on (site) rackwatt_settlement_subscribed_watts"
_SHIFT: Final = "12h"
"""What hovers at its limit is one ticket a shift, and not one an hour."""
_IMPORT: Final = 'rackwatt_source_power_watts{source="grid"}'


def _of(name: str, expr: str, severity: Severity, wait: str = "", keep: str = "") -> Alert:
    return Alert(name=name, expr=expr, severity=severity, owner="electrical", board="chain",
                 wait=wait, keep=keep)  # fmt: skip


def alerts(limits: Limits) -> list[Alert]:
    """Those of this family."""
    return [*_feeds(limits), *_backup(limits), *_quality(limits), *_contract(limits)]


def _feeds(limits: Limits) -> list[Alert]:
    feed = "by (site, feed, side)"
    spare = "rackwatt_redundancy_spare_number"
    return [
        _of("FeedLost", "rackwatt_feed_up == 0", "page", "10s", "1m"),
        _of("FeedMeterSilent", "rackwatt_feed_meters_silent_number > 0", "ticket", "5m", "5m"),
        _of("EdgeOverloaded", f"{_LOAD} {limits.bad('feed_load_ratio')}", "page", "20s", "2m"),
        _of("EdgeNearRating", f"{_LOAD} {limits.warn('feed_load_ratio')}", "ticket", "15m", "15m"),
        _of("FailoverRisk",
            f"rackwatt_feed_failover_ratio {limits.bad('feed_failover_ratio')}",
            "ticket", "10m", _SHIFT),
        _of("PhaseImbalance",
            f"max {feed} ({_CURRENT}) / avg {feed} ({_CURRENT}) - 1"
            f" {limits.warn('phase_imbalance_ratio')}\n"
            f"and on (site, feed, side) {_LOAD} {limits.warn('phase_imbalance_load_ratio')}\n",
            "ticket", "15m", _SHIFT),
        _of("RedundancyGone",
            f"{spare} {limits.bad('redundancy_spare_number')}",
            "page", "20s", "2m"),
        _of("RedundancyUsed",
            f"{spare} {limits.warn('redundancy_spare_number')}",
            "ticket", "10m", "10m"),
    ]  # fmt: skip


def _backup(limits: Limits) -> list[Alert]:
    genset = 'rackwatt_source_power_watts{source="genset"}'
    return [
        _of("UpsOnBattery", "rackwatt_ups_on_battery_ratio > 0", "page", "20s", "2m"),
        _of("UpsRuntimeShort",
            f"rackwatt_ups_runtime_seconds {limits.bad('ups_runtime_seconds')}",
            "page", "20s", "2m"),
        _of("BatteryRideThroughShort",
            f"rackwatt_battery_ride_through_seconds {limits.bad('battery_ride_through_seconds')}\n"
            "unless on (site) min by (site) (rackwatt_ups_runtime_seconds)"
            f" >= {limits['battery_ride_through_seconds'].bad:g}\n",
            "page", "20s", "5m"),
        _of("GensetRunning", f"{genset} {limits.bad('genset_watts')}", "ticket", "20s", "5m"),
    ]  # fmt: skip


def _quality(limits: Limits) -> list[Alert]:
    def band(metric: str, low: str, high: str, dead: float) -> str:
        """Beyond the band; without voltage there is nothing to be out of band."""
        return f"{metric} {limits.bad(low)} > {dead:g} or {metric} {limits.bad(high)}"

    dead = limits["voltage_dead_ratio"].bad
    return [
        _of("VoltageOutOfBand", band(_VOLTAGE, "voltage_low_ratio", "voltage_high_ratio", dead),
            "page", "20s", "1m"),
        _of("FrequencyOutOfBand",
            band(_FREQUENCY, "frequency_low_hertz", "frequency_high_hertz", 0),
            "page", "20s", "1m"),
    ]  # fmt: skip


def _contract(limits: Limits) -> list[Alert]:
    """What the utility and the law allow."""
    import_ratio = f"({_IMPORT} / {_SUBSCRIBED})"
    soon = limits["ramp_horizon_seconds"].bad
    return [
        _of("SettlementProjected",
            f"{_PROJECTED} / {_SUBSCRIBED} {limits.bad('settlement_ratio')}", "page", "1m", "2m"),
        _of("RampNearLimit",
            f"({_IMPORT} + {soon:g} * deriv({_IMPORT}[2m])) / {_SUBSCRIBED}"
            f" {limits.bad('settlement_ratio')}\n"
            f"and {import_ratio} {limits.bad('ramp_load_ratio')}\n", "page", "20s", "2m"),
        _of("ExportCapNear",
            "rackwatt_export_ratio / on (site) rackwatt_export_cap_ratio"
            f" {limits.warn('export_cap_used_ratio')}", "digest", "1h"),
    ]  # fmt: skip
