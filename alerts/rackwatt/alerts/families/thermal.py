# SPDX-License-Identifier: Apache-2.0
"""Thermal: is the heat taken away, and would we see it if not?

Leaks, pumps, flows and levels are the agents' own alarms (`Safety…`), told straight to
Alertmanager: see docs/safety.md. What stands here sees when that way is closed, and what needs more
than one unit.
"""

from typing import Final

from rackwatt.alerts.alert import Alert, Severity
from rackwatt.alerts.thresholds import Limits

_INLET: Final = "rackwatt_rack_inlet_temperature_celsius"
_HUMIDITY: Final = "rackwatt_row_humidity_ratio"
_DEVICES: Final = "rackwatt_coolant_devices_number"
_FLOW: Final = "rackwatt_coolant_flow_liters_per_second"
_ROW: Final = "count by (site, hall, row)"


def _of(name: str, expr: str, severity: Severity, wait: str = "", keep: str = "") -> Alert:
    return Alert(name=name, expr=expr, severity=severity, owner="mechanical", board="thermal",
                 wait=wait, keep=keep)  # fmt: skip


def alerts(limits: Limits) -> list[Alert]:
    """Those of this family."""
    return [*_watch(limits), *_air(limits), *_coolant(limits)]


def _watch(limits: Limits) -> list[Alert]:
    """The agents' own safety path, and halls that nobody sees."""
    return [
        _of("BlindHall",
            f'sum by (site, hall) ({_DEVICES}{{state="fresh"}}) / sum by (site, hall) ({_DEVICES})'
            f" {limits.bad('coolant_coverage_ratio')}", "safety", "30s", "1m"),
        _of("SafetyNotJudging", "rackwatt_safety_alive == 0", "page", "20s", "1m"),
        _of("SafetyPathClosed",
            "max without (alertmanager) (rackwatt_safety_alertmanager_up) == 0",
            "page", "20s", "1m"),
        _of("SafetyPathThin", "rackwatt_safety_alertmanager_up == 0", "ticket", "5m", "5m"),
        _of("SafetyStateUnsaved",
            "increase(rackwatt_safety_state_unsaved_total[15m]) > 0", "ticket"),
        _of("SafetyAlarmLatched",
            "sum without (severity) (rackwatt_safety_alerts_active) > 0", "ticket", "4h"),
    ]  # fmt: skip


def _air(limits: Limits) -> list[Alert]:
    """By row: one hot sensor is a ticket for the sensor, three hot racks are a hot row."""
    racks = limits.bad("hot_racks_number")
    low, high = (
        f'{_HUMIDITY}{{statistic="{statistic}"}} {limits.bad(name)}'
        for statistic, name in (("min", "humidity_low_ratio"), ("max", "humidity_high_ratio"))
    )
    return [
        _of("InletAllowable",
            f"{_ROW} ({_INLET} {limits.bad('inlet_celsius')}) {racks}", "page", "20s", "2m"),
        _of("InletRecommended",
            f"{_ROW} ({_INLET} {limits.warn('inlet_celsius')}) {racks}", "ticket", "10m", "10m"),
        _of("InletRising",
            f"{_ROW} (60 * deriv({_INLET}[3m]) {limits.bad('inlet_rise_kelvin_per_minute')})"
            f" {racks}", "page", "20s", "2m"),
        _of("HumidityOutOfBand", f"{low} or {high}", "ticket", "15m", "15m"),
    ]  # fmt: skip


def _coolant(limits: Limits) -> list[Alert]:
    def device(what: str, limit: str) -> str:
        return f"rackwatt_coolant_{what} {limits.bad(limit)}"

    return [
        _of("CoolantSupplyHigh",
            device("supply_temperature_celsius", "coolant_supply_celsius"), "page", "20s", "2m"),
        _of("CoolantReturnHigh",
            device("return_temperature_celsius", "coolant_return_celsius"), "page", "20s", "2m"),
        _of("CoolantFlowLow",
            f"{_FLOW} / avg_over_time({_FLOW}[1h]) {limits.bad('coolant_flow_of_mean_ratio')}",
            "ticket", "1m", "5m"),
        _of("RideThroughShort",
            f"min by (site) (rackwatt_ride_through_seconds) {limits.bad('ride_through_seconds')}",
            "ticket", "10m", "15m"),
    ]  # fmt: skip
